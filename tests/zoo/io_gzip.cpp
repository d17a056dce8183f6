#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/gzip.h"
#include "text_clip_cases.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using testing::HasSubstr;

constexpr std::size_t kMegabyte = 1 << 20;

std::string gunzip_error(std::string_view file, std::size_t max_bytes = kMegabyte) {
  try {
    gunzip(file, "f.gz", max_bytes);
    return "no error";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(Gunzip, gives_the_content) {
  for (const std::size_t size : {0, 1, 65535, 65536, 200'000}) {
    const std::string content(size, 'x');
    EXPECT_EQ(gunzip(test::gzip_file(content), "f.gz", kMegabyte), content);
  }
}

TEST(Gunzip, reads_what_gzip_compressed) {
  const std::string_view file(
      "\x1f\x8b\x08\0\0\0\0\0\x02\x03\x4b\x54\x28\xc8\xc8\x2f\xc9\x57\xc8\x4f\x53\x48\xc4\xc1\x4c\x4e\x2c\x01\0\x2f\x0c"
      "\x13\x88\x26\0\0\0",
      37);
  EXPECT_EQ(gunzip(file, "f.gz", kMegabyte), "a photo of a photo of a photo of a cat");
}

TEST(Gunzip, takes_no_more_than_the_limit) {
  const std::string file = test::gzip_file(std::string(1000, 'x'));
  EXPECT_EQ(gunzip(file, "f.gz", 1000).size(), 1000);
  EXPECT_EQ(gunzip_error(file, 999), "f.gz: more than 999 bytes when decompressed");
}

TEST(Gunzip, refuses_a_file_that_is_cut_short) {
  const std::string file = test::gzip_file("content");
  for (std::size_t size = 0; size < file.size(); ++size) {
    EXPECT_EQ(gunzip_error(file.substr(0, size)), "f.gz: cut short: the compressed data does not end") << size;
  }
}

TEST(Gunzip, refuses_a_damaged_file) {
  const std::string file = test::gzip_file("content");
  for (const std::size_t at :
       {0, 1, 2, 11, 17, 23}) {  // the format's mark, the method, a length, content, its checksum
    std::string damaged = file;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x40);
    EXPECT_EQ(gunzip_error(damaged), "f.gz: not a gzip file, or damaged") << at;
  }
}

TEST(Gunzip, refuses_what_follows_the_end) {
  EXPECT_EQ(gunzip_error(test::gzip_file("content") + "more"), "f.gz: 4 bytes after the end of the compressed data");
}

}  // namespace
}  // namespace wkv::zoo
