// What a reader may do with a damaged or hostile file: give the same values, or throw wkv::Error; and never take much
// memory.
#include <ATen/Functions.h>

#include <fstream>

#include "io_files.h"
#include "support/data.h"
#include "support/fixture.h"

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

}  // namespace

TEST(DamagedFiles, a_truncated_file_is_refused) {
  const ScratchFolder folder;
  for (const char* name : kContainers) {
    const std::string whole = read_bytes(data("containers") / name);
    for (size_t part = 0; part < 64; ++part) {
      const auto path = write_bytes(folder / "a", std::string_view(whole).substr(0, whole.size() * part / 64));
      EXPECT_THROW(zoo::open_tensors(path), Error) << name << " " << part << "/64";
    }
  }
}

// In a zip archive everything that matters is behind a checksum or said twice.
TEST(DamagedFiles, a_zip_with_a_flipped_byte_has_the_same_values_or_is_refused) {
  const ScratchFolder folder;
  const std::string whole = read_bytes(data("containers/ordered.pth"));
  const auto expected = values_of(data("containers/ordered.pth"));
  ASSERT_EQ(expected.size(), 14);
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(~damaged[at]);
    const auto values = values_of(write_bytes(folder / "a", damaged));
    EXPECT_TRUE(values.empty() || same_values(values, expected)) << "byte " << at;
  }
}

// The other containers have no checksum: a flipped byte may change a name or a number, and does no harm beyond.
TEST(DamagedFiles, a_flipped_byte_crashes_no_reader) {
  const ScratchFolder folder;
  size_t refused = 0;
  for (const char* name : kContainers) {
    const std::string whole = read_bytes(data("containers") / name);
    for (size_t at = 0; at < whole.size(); ++at)
      for (const int mask : {0x01, 0x80, 0xff}) {
        std::string damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ mask);
        refused += values_of(write_bytes(folder / "a", damaged)).empty();
      }
  }
  EXPECT_GT(refused, 0);
}

#ifndef __SANITIZE_ADDRESS__
// The peak of this process' memory in bytes, counted from the last reset.
size_t peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoul(line.substr(6)) * 1024;
  return 0;
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
  };
  const ScratchFolder folder;
  for (const std::string& file : files) {
    const auto path = write_bytes(folder / "a", file);
    std::ofstream("/proc/self/clear_refs") << "5";  // resets the peak
    const size_t before = peak_memory();
    try {
      zoo::open_tensors(path);
    } catch (const Error&) {
    }
    EXPECT_LE(peak_memory() - before, 2 * file.size() + (64 << 20)) << file.substr(0, 60);
  }
}
#endif

}  // namespace wkv::test
