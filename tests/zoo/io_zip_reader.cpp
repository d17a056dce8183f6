#include "io/zip_reader.h"
#include "io_files.h"

namespace wkv::test {
namespace {

// A reader of `bytes` which keeps them.
struct OpenedZip {
  explicit OpenedZip(std::string text)
      : bytes(std::move(text)), zip(std::as_writable_bytes(std::span(bytes)), "a.zip") {}
  std::string read(std::string_view name) const {
    const auto data = zip.read(*zip.find(name));
    return {reinterpret_cast<const char*>(data.data()), data.size()};
  }
  std::string bytes;
  zoo::ZipReader zip;
};

const std::vector<ZipPart> kTwoParts = {{"b", "second"}, {"a", "first"}};

// The archive of kTwoParts with one number written over: at `offset` from the start of its n-th record of this
// signature.
template <typename number_t>
std::string patched(uint32_t signature, int record, size_t offset, number_t value) {
  std::string file = zip_file(kTwoParts);
  size_t at = file.find(little(signature));
  for (; record > 0; --record) at = file.find(little(signature), at + 4);
  file.replace(at + offset, sizeof value, little(value));
  return file;
}

constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50;

}  // namespace

TEST(ZipReader, gives_entries_by_name) {
  const OpenedZip opened(zip_file(kTwoParts));
  EXPECT_EQ(opened.read("a"), "first");
  EXPECT_EQ(opened.read("b"), "second");
  EXPECT_EQ(opened.zip.find("c"), nullptr);
}

TEST(ZipReader, a_comment_may_follow_the_directory) {
  EXPECT_EQ(OpenedZip(patched(kEnd, 0, 20, uint16_t{7}) + "comment").read("a"), "first");
}

TEST(ZipReader, zip64_sizes_and_offsets_are_read) {
  const std::string name = "a", data = "first";
  const auto narrow = little(0xFFFFFFFFu);
  const std::string extra =
      little(uint16_t{1}) + little(uint16_t{24}) + little(uint64_t{5}) + little(uint64_t{5}) + little(uint64_t{0});
  const auto checksum = little(zoo::crc32(std::as_bytes(std::span(data))));
  const std::string local = little(kLocal) + std::string(10, '\0') + checksum + narrow + narrow + little(uint16_t{1}) +
                            little(uint16_t{0}) + name + data;
  const std::string central = little(kCentral) + std::string(12, '\0') + checksum + narrow + narrow +
                              little(uint16_t{1}) + little(static_cast<uint16_t>(extra.size())) +
                              std::string(10, '\0') + narrow + name + extra;
  const std::string end64 = little(0x06064b50u) + std::string(28, '\0') + little(uint64_t{1}) +
                            little(uint64_t{central.size()}) + little(uint64_t{local.size()});
  const std::string locator =
      little(0x07064b50u) + little(uint32_t{0}) + little(uint64_t{local.size() + central.size()}) + little(uint32_t{1});
  const std::string end =
      little(kEnd) + std::string(4, '\0') + std::string(4, '\xff') + narrow + narrow + std::string(2, '\0');
  EXPECT_EQ(OpenedZip(local + central + end64 + locator + end).read("a"), "first");
}

TEST(ZipReader, archives_that_contradict_themselves_are_refused) {
  struct Case {
    const char* what;
    std::string file;
    const char* message;
  };
  const std::string whole = zip_file(kTwoParts);
  const Case cases[] = {
      {"nothing", "", "too short"},
      {"no directory", whole.substr(0, whole.size() - 1), "without its directory"},
      {"an entry twice", zip_file({{"a", "x"}, {"a", "y"}}), "the name a"},
      {"overlap", patched(kCentral, 1, 42, uint32_t{0}), "does not agree"},
      {"overlap of equals", patched(kCentral, 0, 24, uint32_t{30}), "two sizes"},
      {"a header elsewhere", patched(kCentral, 0, 42, uint32_t{1}), "not where the directory says"},
      {"an offset past the end", patched(kCentral, 0, 42, uint32_t{1'000'000}), "past the end"},
      {"another name", patched(kLocal, 0, 30, 'x'), "does not agree"},
      {"a directory outside", patched(kEnd, 0, 16, uint32_t{1'000'000}), "outside of the file"},
      {"fewer entries", patched(kEnd, 0, 8, uint32_t{0x00010001}), "more zip entries"},
      {"more entries", patched(kEnd, 0, 8, uint32_t{0x00030003}), "broken zip directory"},
      {"very many entries", patched(kEnd, 0, 8, uint32_t{0xFFFEFFFE}), "fewer zip entries"},
      {"a directory that is none", patched(kCentral, 0, 0, uint32_t{0}), "broken zip directory"},
      {"an extra field past its end", patched(kLocal, 0, 28, uint16_t{0xFFFF}), "past the end"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    expect_error(ErrorCode::corrupt_file, c.message, [&] { OpenedZip{c.file}; });
  }
}

TEST(ZipReader, entries_that_overlap_are_refused) {
  std::string file = zip_file({{"a", zip_file({{"b", "inner"}})}, {"b", "outer"}});
  const size_t inner = file.find(little(kLocal), 4);    // in the data of "a"
  const size_t central = file.rfind(little(kCentral));  // of the outer "b"
  file.replace(central + 42, 4, little(static_cast<uint32_t>(inner)));
  expect_error(ErrorCode::corrupt_file, "overlap", [&] { OpenedZip{file}; });
}

TEST(ZipReader, encrypted_and_compressed_entries_are_named) {
  expect_error(ErrorCode::unsupported_format, "b is encrypted",
               [&] { OpenedZip{patched(kCentral, 0, 8, uint16_t{1})}; });
  std::string file = patched(kCentral, 0, 10, uint16_t{8});
  file.replace(8, 2, little(uint16_t{8}));
  expect_error(ErrorCode::unsupported_format, "b is compressed", [&] { OpenedZip(file).read("b"); });
}

TEST(ZipReader, damaged_data_do_not_match_their_checksum) {
  std::string file = zip_file(kTwoParts);
  file[file.find("first")] = 'F';
  expect_error(ErrorCode::checksum, "a.zip: the bytes of a", [&] { OpenedZip(file).read("a"); });
}

TEST(ZipReader, an_archive_without_any_checksum_is_read_unchecked) {
  std::string file = zip_file(kTwoParts);
  for (const auto signature : {kLocal, kCentral})
    for (size_t at = file.find(little(signature)); at != file.npos; at = file.find(little(signature), at + 4))
      file.replace(at + (signature == kLocal ? 14 : 16), 4, 4, '\0');
  EXPECT_EQ(OpenedZip(file).read("a"), "first");
}

}  // namespace wkv::test
