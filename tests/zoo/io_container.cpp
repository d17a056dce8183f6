#include "io_files.h"
#include "support/data.h"
#include "support/fixture.h"

namespace wkv::test {

TEST(Container, is_told_by_content_and_not_by_name) {
  const ScratchFolder folder;
  EXPECT_EQ(zoo::open_tensors(write_bytes(folder / "a.pth", safetensors_file("{}"))).container, "safetensors");
}

TEST(Container, only_tensors_that_share_memory_share_an_owner) {
  const auto source = zoo::open_tensors(data("containers/ordered.pth"));
  const auto owner = [&](const char* name) { return source.find(name)->owner; };
  EXPECT_EQ(owner("emb.weight"), owner("emb.transposed"));
  EXPECT_EQ(owner("emb.weight"), owner("emb.rows"));
  EXPECT_NE(owner("emb.weight"), owner("head.weight"));
}

TEST(Container, a_git_lfs_pointer_is_named_with_what_it_points_to) {
  const ScratchFolder folder;
  const auto path =
      write_bytes(folder / "a.pth", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n");
  expect_error(ErrorCode::unsupported_format, "Git LFS pointer", [&] { zoo::open_tensors(path); });
  expect_error(ErrorCode::unsupported_format, "12345 bytes with sha256:4d7a21", [&] { zoo::open_tensors(path); });
}

TEST(Container, files_of_other_kinds_are_named) {
  struct Case {
    std::string bytes;
    const char* message;
  };
  const Case cases[] = {
      {"GGUF\3", "GGUF"},
      {"lmggx", "ggml"},
      {"fmggx", "rwkv.cpp"},
      {"\n <!DOCTYPE html><html>", "web page"},
      {"<HTML>", "web page"},
      {"\x89HDF\r\n", "HDF5"},
      {"\x93NUMPY\1", "numpy"},
      {"\x1f\x8b\x08", "gzip"},
      {std::string(257, '\0') + "ustar", "tar"},
      {"version https://git-lfs", "Git LFS"},
      {"x", "begins with \"x\""},
      {std::string("\x80\x02N.", 4), "none of torch.save"},
      {"\x80\x01N.", "neither"},
  };
  const ScratchFolder folder;
  for (const Case& c : cases)
    expect_error(ErrorCode::unsupported_format, c.message,
                 [&] { zoo::open_tensors(write_bytes(folder / "a", c.bytes)); });
}

TEST(Container, control_characters_of_a_file_do_not_reach_the_terminal) {
  const ScratchFolder folder;
  const auto path = write_bytes(folder / "a", "\x1b[31mred\n");
  expect_error(ErrorCode::unsupported_format, "\"?[31mred\"", [&] { zoo::open_tensors(path); });
}

}  // namespace wkv::test
