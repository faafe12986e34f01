// Reads the files of testdata/, which tools/fieldtable/vectors writes. Tests run in the repository's root.
#pragma once

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "base/json.h"

namespace orch::api::schema {

/// One JSON document a line.
inline std::vector<Json> testdata_lines(const std::string& name) {
  const char* folder = std::getenv("ORCH_SCHEMA_TESTDATA");  // e.g. of `vectors -every`
  std::ifstream file(std::string(folder != nullptr ? folder : "tests/unit/api/schema/testdata") + "/" + name);
  std::vector<Json> records;
  for (std::string line; std::getline(file, line);) records.push_back(Json::parse(line));
  return records;
}

}  // namespace orch::api::schema
