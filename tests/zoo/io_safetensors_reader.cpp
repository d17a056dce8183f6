#include "io_files.h"
#include "support/fixture.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::test {
namespace {

zoo::TensorSource open_safetensors(const ScratchFolder& folder, const std::string& header, size_t data_size = 0) {
  return zoo::open_tensors(
      write_bytes(folder / "a.safetensors", safetensors_file(header, std::string(data_size, '\1'))));
}

std::string u8_entry(const std::string& shape, const std::string& offsets) {
  return R"({"dtype":"U8","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

}  // namespace

TEST(SafetensorsReader, gives_names_shapes_dtypes_and_metadata) {
  const ScratchFolder folder;
  const auto source = open_safetensors(
      folder, R"({"__metadata__":{"format":"pt"},"w":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}})", 12);
  ASSERT_EQ(source.entries.size(), 1);
  EXPECT_EQ(source.container, "safetensors");
  EXPECT_EQ(source.metadata.at("format"), "pt");
  EXPECT_EQ(source.entries[0].name, "w");
  EXPECT_EQ(source.entries[0].dtype, c10::ScalarType::BFloat16);
  EXPECT_EQ(source.entries[0].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(source.entries[0].strides, (std::vector<int64_t>{3, 1}));
}

TEST(SafetensorsReader, entries_come_in_the_order_of_their_data) {
  const ScratchFolder folder;
  const auto source =
      open_safetensors(folder, R"({"a":)" + u8_entry("[2]", "[1,3]") + R"(,"b":)" + u8_entry("[1]", "[0,1]") + "}", 3);
  EXPECT_EQ(source.entries[0].name, "b");
  EXPECT_EQ(source.entries[1].name, "a");
}

TEST(SafetensorsReader, legal_oddities_are_read) {
  const ScratchFolder folder;
  EXPECT_EQ(open_safetensors(folder, "{}").entries.size(), 0);
  EXPECT_EQ(open_safetensors(folder, "{}      ").entries.size(), 0);  // padding
  EXPECT_EQ(open_safetensors(folder, R"({"scalar":)" + u8_entry("[]", "[0,1]") + "}", 1).entries[0].shape.size(), 0);
  EXPECT_EQ(open_safetensors(folder, R"({"empty":)" + u8_entry("[0,5]", "[0,0]") + "}").entries[0].shape[1], 5);
}

TEST(SafetensorsReader, what_breaks_the_format_is_refused) {
  struct Case {
    const char* what;
    std::string header;
    size_t data_size;
    const char* message;
  };
  const std::string deep = R"({"a":{"dtype":"U8","shape":[[[1]]],"data_offsets":[0,1]}})";
  const Case cases[] = {
      {"a name twice", R"({"a":)" + u8_entry("[1]", "[0,1]") + R"(,"a":)" + u8_entry("[1]", "[1,2]") + "}", 2, "twice"},
      {"a field twice", R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1, "twice"},
      {"a hole", R"({"a":)" + u8_entry("[1]", "[0,1]") + R"(,"b":)" + u8_entry("[1]", "[2,3]") + "}", 3,
       "leave a hole"},
      {"a hole at the start", R"({"a":)" + u8_entry("[1]", "[1,2]") + "}", 2, "leave a hole"},
      {"an overlap", R"({"a":)" + u8_entry("[2]", "[0,2]") + R"(,"b":)" + u8_entry("[2]", "[1,3]") + "}", 3, "overlap"},
      {"bytes after the last tensor", R"({"a":)" + u8_entry("[1]", "[0,1]") + "}", 2, "truncated or corrupt"},
      {"missing bytes", R"({"a":)" + u8_entry("[4]", "[0,4]") + "}", 3, "truncated or corrupt"},
      {"offsets that do not fit the shape", R"({"a":)" + u8_entry("[2]", "[0,1]") + "}", 1, "needs 2 bytes"},
      {"offsets in reverse", R"({"a":)" + u8_entry("[1]", "[1,0]") + "}", 1, "data_offsets"},
      {"one offset", R"({"a":)" + u8_entry("[1]", "[1]") + "}", 1, "two data_offsets"},
      {"three offsets", R"({"a":)" + u8_entry("[1]", "[0,1,1]") + "}", 1, "fewer numbers"},
      {"a negative size", R"({"a":)" + u8_entry("[-1]", "[0,1]") + "}", 1, "integers >= 0"},
      {"a real size", R"({"a":)" + u8_entry("[1.0]", "[0,1]") + "}", 1, "integers >= 0"},
      {"a size beyond 64 bits", R"({"a":)" + u8_entry("[18446744073709551615]", "[0,1]") + "}", 1, "integers >= 0"},
      {"an overflow", R"({"a":)" + u8_entry("[4294967296,4294967296]", "[0,0]") + "}", 0, "too large"},
      {"an overflow beside a 0", R"({"a":)" + u8_entry("[4294967296,4294967296,0]", "[0,0]") + "}", 0, "too large"},
      {"too many dimensions", R"({"a":)" + u8_entry("[1,1,1,1,1,1,1,1,1]", "[0,1]") + "}", 1, "fewer numbers"},
      {"nesting", deep, 1, "integers >= 0"},
      {"deep nesting", R"({"__metadata__":{"a":[[[]]]}})", 0, "texts only"},
      {"no dtype", R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1, "no dtype"},
      {"no shape", R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1, "no shape"},
      {"no offsets", R"({"a":{"dtype":"U8","shape":[1]}})", 1, "two data_offsets"},
      {"an unknown field", R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}})", 1, "unknown field"},
      {"an entry that is no object", R"({"a":1})", 0, "an object"},
      {"metadata that are no texts", R"({"__metadata__":{"a":1}})", 0, "texts only"},
      {"metadata that are no object", R"({"__metadata__":"a"})", 0, "an object"},
      {"no JSON", "{nonsense}", 0, "not valid JSON"},
      {"JSON that ends early", R"({"a":)", 0, "not valid JSON"},
      {"something after the JSON", "{}{}", 0, "not valid JSON"},
      {"a name that is not UTF-8", "{\"\xff\":" + u8_entry("[1]", "[0,1]") + "}", 1, "not valid JSON"},
      {"a very long name", "{\"" + std::string(70'000, 'a') + "\":" + u8_entry("[1]", "[0,1]") + "}", 1, "64 KiB"},
      {"a very long number", R"({"a":)" + u8_entry("[" + std::string(70'000, '1') + "]", "[0,1]") + "}", 1, "64 KiB"},
  };
  const ScratchFolder folder;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    expect_error(ErrorCode::corrupt_file, c.message, [&] { open_safetensors(folder, c.header, c.data_size); });
  }
}

TEST(SafetensorsReader, a_dtype_that_we_do_not_read_is_named) {
  const ScratchFolder folder;
  const std::string header = R"({"w":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})";
  expect_error(ErrorCode::unsupported_format, "F8_E4M3", [&] { open_safetensors(folder, header, 1); });
}

TEST(SafetensorsReader, a_header_that_claims_more_than_the_file_has_is_refused) {
  const ScratchFolder folder;
  for (const uint64_t length : {3ull, 100'000'001ull, 0xFFFFFFFFull}) {
    const auto path = write_bytes(folder / "a.safetensors", little(length) + "{}");
    expect_error(ErrorCode::corrupt_file, "truncated or corrupt", [&] { zoo::open_tensors(path); });
  }
}

}  // namespace wkv::test
