#include "io/atomic_folder.h"
#include "io_files.h"
#include "support/fixture.h"

namespace wkv::test {

TEST(AtomicFolder, appears_with_everything_in_it) {
  const ScratchFolder folder;
  zoo::AtomicFolder made(folder / "a");
  write_bytes(made.path() / "one", "1");
  EXPECT_FALSE(std::filesystem::exists(folder / "a"));
  made.commit();
  EXPECT_EQ(read_bytes(folder / "a" / "one"), "1");
}

TEST(AtomicFolder, without_a_commit_nothing_stays) {
  const ScratchFolder folder;
  {
    const zoo::AtomicFolder made(folder / "a");
    write_bytes(made.path() / "one", "1");
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(AtomicFolder, an_empty_folder_is_filled) {
  const ScratchFolder folder;
  std::filesystem::create_directory(folder / "a");
  zoo::AtomicFolder made((folder / "a").string() + "/");
  write_bytes(made.path() / "one", "1");
  made.commit();
  EXPECT_EQ(read_bytes(folder / "a" / "one"), "1");
}

TEST(AtomicFolder, what_is_there_is_refused) {
  const ScratchFolder folder;
  write_bytes(folder / "file", "x");
  const auto create = [](const std::filesystem::path& path) { return [=] { const zoo::AtomicFolder made(path); }; };
  expect_error(ErrorCode::invalid_argument, "expected a folder", create(folder / "file"));
  expect_error(ErrorCode::invalid_argument, "not empty", create(folder.path()));
  expect_error(ErrorCode::not_found, "cannot create the folder", create(folder / "missing/a"));
}

// One that is being filled in the meantime is another process's.
TEST(AtomicFolder, does_not_replace_one_that_was_made_in_the_meantime) {
  const ScratchFolder folder;
  zoo::AtomicFolder first(folder / "a"), second(folder / "a");
  write_bytes(first.path() / "one", "1");
  write_bytes(second.path() / "two", "2");
  first.commit();
  expect_error(ErrorCode::invalid_argument, "cannot replace the folder", [&] { second.commit(); });
  EXPECT_EQ(read_bytes(folder / "a" / "one"), "1");
}

}  // namespace wkv::test
