#include "io_files.h"
#include "support/fixture.h"

namespace wkv::test {
namespace {

// One tensor of one byte.
std::string shard_with(const std::string& name) {
  return safetensors_file(R"({")" + name + R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x");
}

zoo::TensorSource open_index(const ScratchFolder& folder, const std::string& weight_map) {
  return zoo::open_tensors(write_bytes(folder / "model.safetensors.index.json",
                                       R"({"metadata":{"total_size":2},"weight_map":)" + weight_map + "}"));
}

}  // namespace

TEST(Sharded, all_shards_are_one_checkpoint) {
  const ScratchFolder folder;
  write_bytes(folder / "1.safetensors", shard_with("a"));
  write_bytes(folder / "2.safetensors", shard_with("b"));
  const auto source = open_index(folder, R"({"b":"2.safetensors","a":"1.safetensors"})");
  EXPECT_EQ(source.entries.size(), 2);
  EXPECT_NE(source.find("a"), nullptr);
  EXPECT_NE(source.find("b"), nullptr);
}

TEST(Sharded, an_index_does_not_lead_out_of_its_folder) {
  const ScratchFolder folder;
  for (const char* name : {"../a", "/etc/passwd", "..", ".", "", "x/y", "x\\\\y", "\\u0000"})
    expect_error(ErrorCode::corrupt_file, "plain name",
                 [&] { open_index(folder, R"({"a":")" + std::string(name) + "\"}"); });
}

TEST(Sharded, shards_that_do_not_hold_what_the_index_says_are_refused) {
  const ScratchFolder folder;
  write_bytes(folder / "1.safetensors", shard_with("a"));
  expect_error(ErrorCode::corrupt_file, "places 2 tensors",
               [&] { open_index(folder, R"({"a":"1.safetensors","b":"1.safetensors"})"); });
  expect_error(ErrorCode::corrupt_file, "does not place tensor \"a\"",
               [&] { open_index(folder, R"({"b":"1.safetensors"})"); });
  expect_error(ErrorCode::not_found, "2.safetensors",
               [&] { open_index(folder, R"({"a":"1.safetensors","b":"2.safetensors"})"); });
}

TEST(Sharded, a_weight_map_that_is_none_is_refused) {
  const ScratchFolder folder;
  for (const char* map : {"[]", "1", R"({"a":1})", R"({"a":{"b":"c"}})"})
    expect_error(ErrorCode::corrupt_file, "weight_map must map", [&] { open_index(folder, map); });
  expect_error(ErrorCode::corrupt_file, "twice", [&] { open_index(folder, R"({"a":"1","a":"2"})"); });
  expect_error(ErrorCode::unsupported_format, "without a weight_map",
               [&] { zoo::open_tensors(write_bytes(folder / "x.json", R"({"layers":12})")); });
}

TEST(Sharded, an_index_among_its_own_shards_is_refused) {
  const ScratchFolder folder;
  expect_error(ErrorCode::unsupported_format, "neither safetensors",
               [&] { open_index(folder, R"({"a":"model.safetensors.index.json"})"); });
}

}  // namespace wkv::test
