// Lists of merges for CLIP's tokenizer, written by the tests, and gzip files of them.
#pragma once
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/crc32.h"
#include "text/code_points.h"

namespace wkv::test {

// These merges, and as many of bytes that are in no text's words as it takes to the 48894 that a list must have.
inline std::string clip_merges_file(const std::vector<std::string>& merges) {
  std::vector<std::string> bytes;  // 0 to 32 and 127
  for (char32_t c = 0x100; c < 0x122; ++c) zoo::append_code_point(bytes.emplace_back(), c);
  std::vector<std::string> lines = merges;
  for (const auto& a : bytes) {
    for (const auto& b : bytes) lines.push_back(a + " " + b);
  }
  for (const char* end : {"", "</w>"}) {
    for (const auto& a : bytes) {
      for (const auto& b : bytes) {
        for (const auto& c : bytes) lines.push_back(fmt::format("{}{} {}{}", a, b, c, end));
      }
    }
  }
  lines.resize(48894);
  return fmt::format("\"merges\"\n{}\n", fmt::join(lines, "\n"));
}

// A gzip file of blocks that are not compressed.
inline std::string gzip_file(std::string_view content) {
  constexpr std::size_t kMaxBlock = 0xFFFF;
  std::string file("\x1F\x8B\x08\0\0\0\0\0\0\xFF", 10);
  const auto append = [&](std::size_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) file += static_cast<char>(value >> (8 * i) & 0xFF);
  };
  const std::uint32_t checksum = zoo::crc32(std::as_bytes(std::span(content)));
  const std::size_t size = content.size();
  do {
    const std::string_view block = content.substr(0, kMaxBlock);
    content.remove_prefix(block.size());
    append(content.empty() ? 1 : 0, 1);  // the last one is marked
    append(block.size(), 2);
    append(~block.size(), 2);
    file += block;
  } while (!content.empty());
  append(checksum, 4);
  append(size, 4);
  return file;
}

}  // namespace wkv::test
