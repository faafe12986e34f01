#include "cli/component_args.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "api/duration.h"

namespace orch::cli {

using base::Code;
using base::Status;

namespace {

Status bad(std::string why) { return {Code::kBadRequest, std::move(why)}; }

}  // namespace

ComponentFlag duration_flag(std::string name, base::Duration& target, base::Duration least) {
  return {std::move(name), [&target, least](const std::string& value) -> Status {
            auto d = api::parse_duration(value);
            if (!d.ok()) return bad("is not a duration such as 30s");
            if (*d < least) return bad(base::cat("is shorter than ", api::format_duration(least)));
            target = *d;
            return {};
          }};
}

ComponentFlag integer_flag(std::string name, int64_t& target, int64_t least, int64_t most) {
  return {std::move(name), [&target, least, most](const std::string& value) -> Status {
            int64_t n = 0;
            const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
            if (error != std::errc() || end != value.data() + value.size()) return bad("is not a number");
            if (n < least || n > most) return bad(base::cat("is not between ", least, " and ", most));
            target = n;
            return {};
          }};
}

ComponentFlag number_flag(std::string name, double& target, double least) {
  return {std::move(name), [&target, least](const std::string& value) -> Status {
            char* end = nullptr;
            const double n = std::strtod(value.c_str(), &end);
            if (value.empty() || *end != 0 || !std::isfinite(n)) return bad("is not a number");
            if (n < least) return bad("is too small");
            target = n;
            return {};
          }};
}

ComponentFlag text_flag(std::string name, std::string& target) {
  return {std::move(name), [&target](const std::string& value) -> Status {
            target = value;
            return {};
          }};
}

ComponentFlag bool_flag(std::string name, bool& target) {
  return {std::move(name), [&target](const std::string& value) -> Status {
            if (value != "true" && value != "false") return bad("is neither true nor false");
            target = value == "true";
            return {};
          }};
}

ComponentFlag list_flag(std::string name, std::vector<std::string>& target) {
  return {std::move(name), [&target, first = true](const std::string& value) mutable -> Status {
            if (first) target.clear();
            first = false;
            for (size_t at = 0; at <= value.size();) {
              const size_t comma = std::min(value.find(',', at), value.size());
              if (comma > at) target.push_back(value.substr(at, comma - at));
              at = comma + 1;
            }
            return {};
          }};
}

Status apply_component_args(std::string_view option, const std::vector<std::string>& args,
                            const std::vector<ComponentFlag>& flags) {
  for (const std::string& arg : args) {
    const size_t begin = std::min(arg.find_first_not_of('-'), arg.size());
    const size_t equals = arg.find('=', begin);
    const std::string name = arg.substr(begin, equals == std::string::npos ? equals : equals - begin);
    const std::string value = equals == std::string::npos ? "true" : arg.substr(equals + 1);
    const auto flag = std::find_if(flags.begin(), flags.end(), [&](const auto& f) { return f.name == name; });
    if (flag == flags.end()) return bad(base::cat(option, ": unknown flag \"", name, "\""));
    if (Status set = flag->set(value); !set.ok())
      return bad(base::cat(option, ": ", name, " \"", value, "\" ", set.message()));
  }
  return {};
}

}  // namespace orch::cli
