// What a reader may do with a damaged or hostile file: give the same values, or throw wkv::Error; and never take much
// memory.
#include <ATen/Functions.h>

#include "damage.h"
#include "io_files.h"
#include "support/data.h"
#include "support/fixture.h"
#include "wkv/zoo/state_file.h"

namespace wkv::test {
namespace {

constexpr const char* kContainers[] = {"tensors.safetensors", "dict.pth",   "ordered.pth",
                                       "protocol5.pth",       "legacy.pth", "legacy-protocol4.pth",
                                       "nested.pth"};

// The values of a damaged file, or nothing where it is refused.
std::map<std::string, at::Tensor> values_of(const std::filesystem::path& path) {
  std::map<std::string, at::Tensor> values;
  try {
    for (const auto& entry : zoo::open_tensors(path).entries) values[entry.name] = zoo::as_tensor(entry).clone();
  } catch (const Error&) {
  }
  return values;
}

bool same_values(const std::map<std::string, at::Tensor>& a, const std::map<std::string, at::Tensor>& b) {
  return std::ranges::equal(a, b, [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.dtype() == y.second.dtype() && at::equal(x.second, y.second);
  });
}

// Two shards and their index.
std::filesystem::path write_shards(const ScratchFolder& folder) {
  write_bytes(folder / "1", safetensors_file(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x"));
  write_bytes(folder / "2", safetensors_file(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "y"));
  return write_bytes(folder / "index.json", R"({"metadata":{"total_size":2},"weight_map":{"a":"1","b":"2"}})");
}

}  // namespace

TEST(DamagedFiles, a_truncated_file_is_refused) {
  const ScratchFolder folder;
  for (const char* name : kContainers) {
    for_each_truncation(read_bytes(data("containers") / name),
                        [&](const std::string& damaged, const std::string& what) {
                          const auto path = write_bytes(folder / "a", damaged);
                          EXPECT_THROW(zoo::open_tensors(path), Error) << name << " " << what;
                        });
  }
}

// In a zip archive everything that matters is behind a checksum or said twice.
TEST(DamagedFiles, a_zip_with_a_flipped_byte_has_the_same_values_or_is_refused) {
  const ScratchFolder folder;
  const std::string whole = read_bytes(data("containers/ordered.pth"));
  const auto expected = values_of(data("containers/ordered.pth"));
  ASSERT_EQ(expected.size(), 14);
  for_each_flipped_byte(whole, [&](const std::string& damaged, const std::string& what) {
    const auto values = values_of(write_bytes(folder / "a", damaged));
    EXPECT_TRUE(values.empty() || same_values(values, expected)) << what;
  });
}

// The other containers have no checksum: a flipped byte may change a name or a number, and does no harm beyond.
TEST(DamagedFiles, a_flipped_byte_crashes_no_reader) {
  const ScratchFolder folder;
  for (const char* name : {"tensors.safetensors", "legacy.pth", "legacy-protocol4.pth"}) {
    size_t refused = 0;
    const std::string whole = read_bytes(data("containers") / name);
    expect_little_memory(whole.size(), name, [&] {
      for_each_flipped_byte(whole, [&](const std::string& damaged, const std::string&) {
        refused += values_of(write_bytes(folder / "a", damaged)).empty();
      });
    });
    EXPECT_GT(refused, 0) << name;
  }
}

TEST(DamagedFiles, a_damaged_index_has_the_same_values_or_is_refused) {
  const ScratchFolder folder;
  const auto path = write_shards(folder);
  const std::string whole = read_bytes(path);
  const auto expected = values_of(path);
  ASSERT_EQ(expected.size(), 2);
  const auto check = [&](const std::string& damaged, const std::string& what) {
    const auto values = values_of(write_bytes(path, damaged));
    EXPECT_TRUE(values.empty() || same_values(values, expected)) << what;
  };
  for_each_truncation(whole, check);
  for_each_flipped_byte(whole, check);
}

TEST(DamagedFiles, a_damaged_state_is_refused_or_one_of_as_many_rows) {
  const ScratchFolder folder;
  const auto path = folder / "state.safetensors";
  zoo::save_context(
      path, {{{{"wkv0", at::ones({2, 3, 4})}, {"att_x0", at::ones({2, 3}).to(at::kBFloat16)}}}, at::ones({1, 1, 3})});
  const std::string whole = read_bytes(path);
  const size_t header = whole.find("}}") + 2;
  const auto check = [&](const std::string& damaged, const std::string& what) {
    try {
      const Context context = zoo::load_context(write_bytes(path, damaged));
      for (const auto& entry : context.state.entries)
        EXPECT_EQ(entry.tensor.size(0), context.state.entries.front().tensor.size(0)) << what;
    } catch (const Error&) {
    }
  };
  for_each_truncation(whole, check);
  for_each_flipped_byte(std::string_view(whole).substr(0, header), [&](std::string damaged, const std::string& what) {
    check(damaged + whole.substr(header), what);
  });
}

TEST(DamagedFiles, a_hostile_header_takes_at_most_twice_the_file_and_64_mb) {
  const auto many = [](std::string start, const std::string& piece, size_t size, const std::string& end) {
    while (start.size() < size) start += piece;
    return start + end;
  };
  std::string entries = "{";
  for (int i = 0; i < 60'000; ++i)
    entries +=
        (i ? ",\"" : "\"") + std::to_string(i) + R"(":{"dtype":"U8","shape":[1,1,1,1,1,1,1,0],"data_offsets":[0,0]})";
  const std::string legacy = read_bytes(data("containers/legacy.pth")).substr(0, 21) + "}.";
  constexpr size_t kSize = 8 << 20;
  const std::string files[] = {
      safetensors_file(many("{\"a\":[", "0,", kSize, "0]}")),
      safetensors_file(many("{\"__metadata__\":{\"\":\"\"", ",\"\":\"\"", kSize, "}}")),
      safetensors_file(many("", "{\"a\":", kSize, "")),
      safetensors_file(entries + "}"),
      safetensors_file("{\"" + std::string(kSize, 'a') + "\":0}"),
      zip_file({{"a/data.pkl", many("", "]", kSize, ".")}}),
      zip_file({{"a/data.pkl", many("", "]0", kSize, ".")}}),
      zip_file({{"a/data.pkl", many("]", "Na", kSize, ".")}}),
      zip_file({{"a/data.pkl", many("N", "\x94", kSize, ".")}}),
      zip_file({{"a/data.pkl", std::string(kSize, 'N') + "r\xff\xff\x7f."}}),
      legacy + many("", "]0", kSize, "."),
      many("{\"weight_map\":{\"\":\"\"", ",\"\":\"\"", kSize, "}}"),
      many("{\"weight_map\":", "[", kSize, ""),
  };
  const ScratchFolder folder;
  for (const std::string& file : files) {
    const auto path = write_bytes(folder / "a", file);
    expect_little_memory(file.size(), file.substr(0, 60), [&] {
      try {
        zoo::open_tensors(path);
      } catch (const Error&) {
      }
    });
  }
}

}  // namespace wkv::test
