#include "io/safetensors_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "io/json_events.h"
#include "io/layout.h"
#include "io/printable.h"
#include "io/safetensors_dtype.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

static_assert(std::endian::native == std::endian::little, "checkpoints are little-endian and read without conversion");

struct HeaderEntry {
  TensorEntry tensor;
  std::vector<int64_t> offsets;
  bool has_shape = false;
};

// Collects the header's events into entries; what the events cannot tell (sizes, holes) is checked afterwards.
class SafetensorsHeader {
 public:
  explicit SafetensorsHeader(const std::string& path) : path_(path) {}

  void operator()(JsonPath at, const JsonEvent& event) {
    using Kind = JsonEvent::Kind;
    if (event.kind == Kind::end) return;
    if (at.empty()) return expect(event.kind == Kind::begin_object, "the header", "an object");
    if (at[0] == "__metadata__") return metadata_event(at, event);
    if (at.size() == 1) {
      expect(event.kind == Kind::begin_object, at[0], "an object");
      if (entries.size() == kMaxTensors) fail("the header", fmt::format("lists more than {} tensors", kMaxTensors));
      entries.emplace_back().tensor.name = at[0];
      return;
    }
    entry_event(entries.back(), at, event);
  }

  std::vector<HeaderEntry> entries;
  std::map<std::string, std::string> metadata;

 private:
  void metadata_event(JsonPath at, const JsonEvent& event) {
    if (at.size() == 1) return expect(event.kind == JsonEvent::Kind::begin_object, at[0], "an object");
    expect(at.size() == 2 && event.kind == JsonEvent::Kind::text, at[0], "texts only");
    if (metadata.size() == kMaxTensors) fail(at[0], fmt::format("has more than {} members", kMaxTensors));
    metadata.emplace(at[1], event.text);
  }

  void entry_event(HeaderEntry& entry, JsonPath at, const JsonEvent& event) {
    const std::string& field = at[1];
    if (field == "dtype") {
      expect(at.size() == 2 && event.kind == JsonEvent::Kind::text, at[0], "a text as dtype");
      entry.tensor.dtype = safetensors_dtype(event.text);
      if (entry.tensor.dtype == c10::ScalarType::Undefined)
        throw Error(ErrorCode::unsupported_format, fmt::format("{}: tensor \"{}\" has dtype {}, which is not supported "
                                                               "(F64, F32, F16, BF16, I64, I32, I16, I8, U8 and "
                                                               "BOOL are)",
                                                               path_, printable(at[0]), printable(event.text)));
    } else if (field == "shape" || field == "data_offsets") {
      const bool shape = field == "shape";
      if (at.size() == 2) {
        expect(event.kind == JsonEvent::Kind::begin_array, at[0], fmt::format("an array as {}", field));
        entry.has_shape |= shape;
        return;
      }
      expect(event.kind == JsonEvent::Kind::integer && event.integer >= 0, at[0],
             fmt::format("integers >= 0 as {}", field));
      auto& list = shape ? entry.tensor.shape : entry.offsets;
      expect(list.size() < (shape ? kMaxRank : 2), at[0], fmt::format("fewer numbers as {}", field));
      list.push_back(event.integer);
    } else {
      fail(at[0], fmt::format("has an unknown field \"{}\"", printable(field)));
    }
  }

  void expect(bool holds, std::string_view whose, std::string_view expected) const {
    if (!holds) fail(whose, fmt::format("must have {}", expected));
  }
  [[noreturn]] void fail(std::string_view whose, std::string_view what) const {
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: {} {}", path_, printable(whose), what));
  }

  const std::string& path_;
};

void check_header_entry(const HeaderEntry& entry, const std::string& path) {
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: tensor \"{}\" {}", path, printable(entry.tensor.name), why));
  };
  if (entry.tensor.dtype == c10::ScalarType::Undefined) refuse("has no dtype");
  if (!entry.has_shape) refuse("has no shape");
  if (entry.offsets.size() != 2) refuse("must have two data_offsets");
  const auto count = element_count(entry.tensor.shape);
  int64_t bytes = 0;
  if (!count || __builtin_mul_overflow(*count, element_bytes(entry.tensor.dtype), &bytes))
    refuse("has a shape that is too large");
  if (entry.offsets[0] > entry.offsets[1] || entry.offsets[1] - entry.offsets[0] != bytes)
    refuse(fmt::format("needs {} bytes for its shape and dtype, its data_offsets are [{}, {}]", bytes, entry.offsets[0],
                       entry.offsets[1]));
}

std::string_view header_text(std::span<const std::byte> bytes, const std::string& path) {
  constexpr uint64_t kLongestHeader = 100'000'000;
  uint64_t length = 0;
  if (bytes.size() < sizeof length + 2)
    throw Error(ErrorCode::corrupt_file,
                fmt::format("{}: too short for a safetensors file ({} bytes)", path, bytes.size()));
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > kLongestHeader || length > bytes.size() - sizeof length)
    throw Error(ErrorCode::corrupt_file,
                fmt::format("{}: the header claims {} bytes, the file has {}: it is truncated or corrupt", path, length,
                            bytes.size()));
  std::string_view text(reinterpret_cast<const char*>(bytes.data()) + sizeof length, length);
  if (!text.starts_with('{'))
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: the header does not begin with {{", path));
  return text.substr(0, text.find_last_not_of(' ') + 1);
}

}  // namespace

TensorSource parse_safetensors(std::span<std::byte> bytes, const std::shared_ptr<void>& owner,
                               const std::string& path) {
  SafetensorsHeader header(path);
  constexpr size_t kDeepest = 4;
  walk_json(header_text(bytes, path), path, kDeepest, std::ref(header));
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  const auto data = bytes.subspan(sizeof length + length);

  for (const HeaderEntry& entry : header.entries) check_header_entry(entry, path);
  std::ranges::stable_sort(header.entries, {}, &HeaderEntry::offsets);
  int64_t end = 0;
  for (const HeaderEntry& entry : header.entries) {
    if (entry.offsets[0] != end)
      throw Error(ErrorCode::corrupt_file,
                  fmt::format("{}: tensor \"{}\" begins at byte {} of the data, expected {}: tensors overlap or "
                              "leave a hole",
                              path, printable(entry.tensor.name), entry.offsets[0], end));
    end = entry.offsets[1];
  }
  if (static_cast<uint64_t>(end) != data.size())
    throw Error(
        ErrorCode::corrupt_file,
        fmt::format("{}: the tensors take {} bytes, the file has {} after its header: it is truncated or corrupt", path,
                    end, data.size()));

  TensorSource source{.container = "safetensors", .entries = {}, .metadata = std::move(header.metadata)};
  source.entries.reserve(header.entries.size());
  for (HeaderEntry& entry : header.entries) {
    entry.tensor.strides = contiguous_strides(entry.tensor.shape);
    entry.tensor.data = data.data() + entry.offsets[0];
    entry.tensor.owner = owner;
    source.entries.push_back(std::move(entry.tensor));
  }
  return source;
}

}  // namespace wkv::zoo
