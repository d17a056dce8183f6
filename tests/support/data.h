// Where tests find their data: tests/data in the repository, and the third-party files that are not ours to commit.
#pragma once
#include <cstdlib>
#include <filesystem>

namespace wkv::test {

inline std::filesystem::path data(const std::filesystem::path& relative) {
  return std::filesystem::path(WKV_SOURCE_DIR) / "tests/data" / relative;
}

// $WKV_TEST_DATA, else the folder `shared` beside the checkout. A test that needs a file that is not there calls
// GTEST_SKIP() with its path.
inline std::filesystem::path shared(const std::filesystem::path& relative) {
  const char* folder = std::getenv("WKV_TEST_DATA");
  const auto root =
      folder ? std::filesystem::path(folder) : std::filesystem::path(WKV_SOURCE_DIR).parent_path() / "shared";
  return root / relative;
}

// A golden file: in tests/data, else, for those that are too large to carry along, beside the third-party files.
inline std::filesystem::path golden(const std::filesystem::path& relative) {
  const std::filesystem::path here = test::data(relative);
  return std::filesystem::exists(here) ? here : test::shared("fixtures") / relative;
}

}  // namespace wkv::test
