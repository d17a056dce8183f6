#include <sys/stat.h>

#include <algorithm>

#include "io/mapped_file.h"
#include "io_files.h"
#include "support/fixture.h"

namespace wkv::test {

TEST(MappedFile, holds_the_bytes_of_the_file) {
  const ScratchFolder folder;
  const auto file = zoo::MappedFile::open(write_bytes(folder / "a", "bytes"));
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()), "bytes");
}

TEST(MappedFile, writing_to_the_memory_leaves_the_file_alone) {
  const ScratchFolder folder;
  const auto path = write_bytes(folder / "a", "bytes");
  zoo::MappedFile::open(path)->bytes()[0] = std::byte{'X'};
  EXPECT_EQ(read_bytes(path), "bytes");
}

TEST(MappedFile, the_pages_of_a_part_leave_with_its_last_user) {
  const ScratchFolder folder;
  const auto file = zoo::MappedFile::open(write_bytes(folder / "a", std::string(1 << 20, 'a')));
  const auto bytes = file->bytes();
  auto user = file->share(bytes.first(bytes.size() / 2));
  auto another = user;
  std::ranges::fill(bytes, std::byte{'X'});
  user.reset();
  EXPECT_EQ(bytes.front(), std::byte{'X'});
  another.reset();
  EXPECT_EQ(bytes.front(), std::byte{'a'});  // as the file has it
  EXPECT_EQ(bytes.back(), std::byte{'X'});
}

TEST(MappedFile, what_is_no_readable_file_is_refused) {
  const ScratchFolder folder;
  const auto open = [](const std::filesystem::path& path) { return [=] { zoo::MappedFile::open(path); }; };
  expect_error(ErrorCode::not_found, "there is no such file", open(folder / "missing"));
  expect_error(ErrorCode::not_found, "there is no such file", open(write_bytes(folder / "file", "x") / "below"));
  expect_error(ErrorCode::invalid_argument, "is a folder", open(folder.path()));
  expect_error(ErrorCode::corrupt_file, "is empty", open(write_bytes(folder / "empty", "")));
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  expect_error(ErrorCode::invalid_argument, "not a regular file", open(folder / "pipe"));
}

}  // namespace wkv::test
