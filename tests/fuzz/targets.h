// What is fuzzed: every parser that bytes from outside reach, one target each. A target takes any bytes and
// returns; it aborts when something that must hold does not (a round trip, say). scripts/fuzz.sh drives them
// with libFuzzer, and the test `unit_fuzz` runs each over its kept inputs in tests/fuzz/corpus.
#pragma once

#include <string_view>
#include <vector>

namespace orch::fuzz {

struct Target {
  std::string_view name;  // and of its folder in tests/fuzz/corpus
  void (*run)(std::string_view bytes);
};

/// Of the API's text and object forms.
std::vector<Target> api_targets();
/// Of HTTP, its upgrades, and DNS.
std::vector<Target> wire_targets();
/// Of requests, tokens and certificates.
std::vector<Target> server_targets();

/// All of these.
std::vector<Target> targets();

/// Ends the process when `holds` is false, naming `what`: that is a finding.
void require(bool holds, const char* what);

/// The part of `rest` up to the next zero byte, which is taken away with it: for targets of several inputs.
std::string_view next_part(std::string_view& rest);

}  // namespace orch::fuzz
