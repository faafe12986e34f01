// What can be said of rules without compiling them, and the paths that rules and selectable fields name.
#include <algorithm>

#include "api/go_text.h"
#include "api/resources/crd_rules.h"
#include "base/json.h"

namespace orch::api {

namespace {

std::string trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(kSpace) - begin + 1));
}

bool has_newline(std::string_view text) { return text.find_first_of("\n\r") != std::string_view::npos; }

const std::vector<std::string> kReasons = {"FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid",
                                           "FieldValueRequired"};

void validate_rule(const Json& schema, const Json& rule, const FieldPath& path, FieldErrors& errors) {
  const std::string text(base::string_at(rule, {"rule"})), message(base::string_at(rule, {"message"}));
  const std::string expression(base::string_at(rule, {"messageExpression"}));
  const std::string field(base::string_at(rule, {"fieldPath"})), reason(base::string_at(rule, {"reason"}));
  if (trimmed(text).empty()) {
    errors.required(path.child("rule"), "rule is not specified");
  } else if (!message.empty() && trimmed(message).empty()) {
    errors.invalid(path.child("message"), message, "must be non-empty if specified");
  } else if (has_newline(trimmed(message))) {
    errors.invalid(path.child("message"), message, "must not contain line breaks");
  } else if (has_newline(trimmed(text)) && trimmed(message).empty()) {
    errors.required(path.child("message"), "message must be specified if rule contains line breaks");
  }
  if (!expression.empty() && trimmed(expression).empty()) {
    errors.required(path.child("messageExpression"), "messageExpression must be non-empty if specified");
  }
  if (rule.contains("reason") && std::find(kReasons.begin(), kReasons.end(), reason) == kReasons.end())
    errors.not_supported(path.child("reason"), reason, kReasons);
  const FieldPath at = path.child("fieldPath");
  if (!field.empty() && trimmed(field).empty()) errors.invalid(at, field, "must be non-empty if specified");
  if (has_newline(field)) errors.invalid(at, field, "must not contain line breaks");
  if (!field.empty() && find_field(schema, field, true).schema == nullptr)
    errors.invalid(at, field, "must be a valid path");
}

/// Walks a path over a schema.
class PathFinder {
 public:
  PathFinder(const Json& schema, std::string_view text, bool brackets) : text_(text), brackets_(brackets) {
    out_.schema = &schema;
  }

  FieldOfSchema run() {
    while (at_ < text_.size() && out_.problem.empty()) step();
    if (!out_.problem.empty()) out_.schema = nullptr;
    return std::move(out_);
  }

 private:
  void fail(std::string why) { out_.problem = std::move(why); }

  /// A delimiter, a quoted string, or what stands before the next delimiter.
  std::string_view token() {
    const size_t begin = at_;
    if (at_ >= text_.size()) return {};
    if (text_[at_] == '\'') {
      for (++at_; at_ < text_.size(); ++at_) {
        if (text_[at_] == '\'' && text_[at_ - 1] != '\\') return text_.substr(begin, ++at_ - begin);
      }
      return text_.substr(begin);
    }
    if (std::string_view(".[]").find(text_[at_]) != std::string_view::npos) return text_.substr(at_++, 1);
    at_ = std::min(text_.find_first_of(".[]", at_), text_.size());
    return text_.substr(begin, at_ - begin);
  }

  void step() {
    const std::string_view first = token();
    if (first == ".") {
      const std::string_view name = token();
      if (name.empty()) return fail("unexpected end of JSON path");
      return enter(std::string(name));
    }
    if (first != "[") return fail(base::cat("expected [ or . but got: ", first));
    if (!brackets_) return fail("array notation is not allowed");
    const std::string_view quoted = token();
    if (quoted.empty()) return fail("unexpected end of JSON path");
    if (quoted.size() < 2 || quoted.front() != '\'' || quoted.back() != '\'')
      return fail(base::cat("expected single quoted string but got ", quoted));
    std::string name;
    for (size_t i = 1; i + 1 < quoted.size(); ++i) {
      if (quoted[i] == '\\' && i + 2 < quoted.size()) ++i;
      name += quoted[i];
    }
    enter(name);
    if (!out_.problem.empty()) return;
    const std::string_view close = token();
    if (close.empty()) return fail("unexpected end of JSON path");
    if (close != "]") fail(base::cat("expected ] but got ", close));
  }

  void enter(const std::string& name) {
    const Json& properties = base::object_at(*out_.schema, {"properties"});
    const auto more = out_.schema->find("additionalProperties");
    if (!properties.empty()) {
      const auto it = properties.find(name);
      if (it == properties.end()) return fail("does not refer to a valid field");
      out_.path += base::cat(out_.path.empty() ? "" : ".", name);
      out_.schema = &*it;
    } else if (more != out_.schema->end() && more->is_object()) {
      out_.path += base::cat("[", name, "]");
      out_.schema = &*more;
    } else {
      fail("does not refer to a valid field");
    }
  }

  std::string_view text_;
  const bool brackets_;
  size_t at_ = 0;
  FieldOfSchema out_;
};

}  // namespace

void validate_rule_texts(const Json& schema, const FieldPath& path, FieldErrors& errors) {
  size_t i = 0;
  for (const Json& rule : base::array_at(schema, {"x-kubernetes-validations"}))
    validate_rule(schema, rule, path.child("x-kubernetes-validations").index(i++), errors);
}

FieldOfSchema find_field(const Json& schema, std::string_view path, bool brackets) {
  return PathFinder(schema, path, brackets).run();
}

}  // namespace orch::api
