// The command line of a bench program: "--name value" pairs, and flags without a value.
#pragma once

#include <map>
#include <set>
#include <string>

namespace orch::bench {

/// Says why on stderr and ends the process.
[[noreturn]] void die(const std::string& why);

class Options {
 public:
  /// Dies of an option without a value, unless it is one of `flags`.
  static Options parse(int argc, char** argv, const std::set<std::string>& flags = {});
  std::string text(const std::string& name, const std::string& fallback = "") const;
  size_t number(const std::string& name, size_t fallback) const;
  bool has(const std::string& name) const { return values_.count(name) > 0; }

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace orch::bench
