#include <ATen/Functions.h>

#include "io/sharded_writer.h"
#include "io_files.h"
#include "support/fixture.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::test {
namespace {

// Tensors of 40 bytes each, a, b, c, ..., and the names of the files that they make.
std::set<std::string> sharded_files(const std::filesystem::path& folder, int count, uint64_t shard_bytes) {
  std::vector<zoo::LazyTensor> tensors;
  for (int i = 0; i < count; ++i)
    tensors.push_back(zoo::lazy(std::string(1, char('a' + i)), at::full({10}, i, at::kFloat)));
  zoo::write_sharded(folder, std::move(tensors), {{"format", "pt"}}, shard_bytes);
  std::set<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(folder)) names.insert(file.path().filename().string());
  return names;
}

}  // namespace

TEST(ShardedWriter, what_fits_is_one_file) {
  const ScratchFolder folder;
  EXPECT_EQ(sharded_files(folder.path(), 3, 120), std::set<std::string>{"model.safetensors"});
}

TEST(ShardedWriter, what_does_not_fit_is_divided_and_comes_back_whole) {
  for (const uint64_t shard_bytes : {100, 1}) {  // two tensors a file, and each larger than a file
    const ScratchFolder folder;
    const size_t shards = shard_bytes == 100 ? 3 : 5;
    EXPECT_EQ(sharded_files(folder.path(), 5, shard_bytes).size(), shards + 1);
    const zoo::TensorSource source = zoo::open_tensors(folder.path());
    EXPECT_EQ(source.entries.size(), 5);
    EXPECT_EQ(source.metadata, (std::map<std::string, std::string>{{"format", "pt"}}));
    for (int i = 0; i < 5; ++i) {
      const at::Tensor found = zoo::as_tensor(*source.find(std::string(1, char('a' + i))));
      EXPECT_TRUE(at::equal(found, at::full({10}, i, at::kFloat)));
    }
  }
}

TEST(ShardedWriter, shards_are_called_as_the_hubs_packages_do) {
  const ScratchFolder folder;
  EXPECT_EQ(sharded_files(folder.path(), 2, 40),
            (std::set<std::string>{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                                   "model.safetensors.index.json"}));
}

}  // namespace wkv::test
