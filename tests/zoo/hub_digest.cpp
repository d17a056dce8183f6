#include <gtest/gtest.h>

#include "hub/digest.h"
#include "io_files.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

// FIPS 180-4, its examples of one block.
TEST(HubDigest, is_the_standards) {
  Digest sha256("SHA256"), sha1("SHA1");
  sha256.update("abc");
  sha1.update("abc");
  EXPECT_EQ(sha256.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha1.hex(), "a9993e364706816aba3e25717850c26c9cd0d89d");
}

TEST(HubDigest, goes_on_after_it_was_read) {
  Digest whole("SHA256"), pieces("SHA256");
  whole.update("abcdef");
  pieces.update("abc");
  const std::string before = pieces.hex();
  pieces.update("def");
  EXPECT_EQ(pieces.hex(), whole.hex());
  EXPECT_NE(before, whole.hex());
}

// `echo hello | git hash-object --stdin`
TEST(HubDigest, git_counts_the_length_too) {
  const auto path = test::write_bytes(testing::TempDir() + "hub_digest", "hello\n");
  EXPECT_EQ(git_blob_sha1_of_file(path), "ce013625030ba8dba906f756967f9e9ca394464a");
  EXPECT_EQ(sha256_of_file(path), "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
  EXPECT_THROW(sha256_of_file(path.string() + ".missing"), Error);
}

}  // namespace
}  // namespace wkv::zoo
