#include <ATen/Functions.h>

#include "io_files.h"
#include "support/data.h"
#include "support/fixture.h"

namespace wkv::test {
namespace {

std::string checkpoint_with(const std::string& name) {
  return safetensors_file(R"({")" + name + R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x");
}

std::string only_name(const std::filesystem::path& path) { return zoo::open_tensors(path).entries.at(0).name; }

}  // namespace

TEST(OpenTensors, a_folder_stands_for_its_one_checkpoint) {
  const ScratchFolder folder;
  write_bytes(folder / "README.md", "text");
  write_bytes(folder / "weights.safetensors", checkpoint_with("only"));
  EXPECT_EQ(only_name(folder.path()), "only");
}

TEST(OpenTensors, in_a_folder_model_safetensors_comes_first_then_an_index) {
  const ScratchFolder folder;
  write_bytes(folder / "shard.safetensors", checkpoint_with("shard"));
  write_bytes(folder / "other.safetensors", checkpoint_with("other"));
  write_bytes(folder / "model.safetensors.index.json", R"({"weight_map":{"shard":"shard.safetensors"}})");
  EXPECT_EQ(only_name(folder.path()), "shard");
  write_bytes(folder / "model.safetensors", checkpoint_with("model"));
  EXPECT_EQ(only_name(folder.path()), "model");
}

TEST(OpenTensors, a_folder_with_several_checkpoints_lists_them) {
  const ScratchFolder folder;
  write_bytes(folder / "b.pth", "x");
  write_bytes(folder / "a.safetensors", "x");
  expect_error(ErrorCode::invalid_argument, "a.safetensors, b.pth", [&] { zoo::open_tensors(folder.path()); });
}

TEST(OpenTensors, a_folder_without_a_checkpoint_says_so) {
  const ScratchFolder folder;
  expect_error(ErrorCode::not_found, "holds no checkpoint", [&] { zoo::open_tensors(folder.path()); });
}

// Published checkpoints that are not ours to commit: both containers of one model hold the same tensors.
TEST(OpenTensors, published_checkpoints_are_the_same_in_every_container) {
  if (!std::filesystem::exists(shared("checkpoints"))) GTEST_SKIP() << shared("checkpoints") << " is not there";
  struct Case {
    const char *file, *same;
    size_t count;
  };
  const Case cases[] = {
      {"digit-reverse-rwkv7-L2.pth", "digit-reverse-rwkv7-L2.safetensors", 99},
      {"digit-reverse-rwkv7-L2.legacy.pth", "digit-reverse-rwkv7-L2.safetensors", 99},
      {"tiny-rwkv-4v0-660k.pth", "tiny-rwkv-4v0-660k.safetensors", 78},
      {"tiny-rwkv-5v1-730k.pth", "tiny-rwkv-5v1-730k.pth", 246},
      {"tiny-rwkv-6v0-3m-dequant.bf16.pth", "tiny-rwkv-6v0-3m-dequant.bf16.pth", 342},
      {"tiny-rwkv-7v0-834k.pth", "tiny-rwkv-7v0-834k.safetensors", 399},
      {"tiny-rwkv-7v0-834k.bf16.pth", "tiny-rwkv-7v0-834k.bf16.pth", 399},
  };
  for (const Case& c : cases) {
    const auto source = zoo::open_tensors(shared("checkpoints") / c.file),
               same = zoo::open_tensors(shared("checkpoints") / c.same);
    EXPECT_EQ(source.entries.size(), c.count) << c.file;
    EXPECT_EQ(same.entries.size(), c.count) << c.same;
    for (const auto& entry : source.entries) {
      ASSERT_NE(same.find(entry.name), nullptr) << c.file << " " << entry.name;
      EXPECT_TRUE(at::equal(zoo::as_tensor(entry), zoo::as_tensor(*same.find(entry.name))))
          << c.file << " " << entry.name;
    }
  }
}

}  // namespace wkv::test
