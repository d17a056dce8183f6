// Files made by hand, byte by byte: what the readers of zoo/io are tested with.
#pragma once
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "io/crc32.h"
#include "wkv/error.h"

namespace wkv::test {

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A new file each time: one that is emptied instead is written to the disk when it is closed.
inline std::filesystem::path write_bytes(const std::filesystem::path& path, std::string_view bytes) {
  std::filesystem::remove(path);
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path;
}

// A number as it stands in a file: little-endian.
template <typename number_t>
std::string little(number_t value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

inline std::string safetensors_file(const std::string& header, const std::string& data = {}) {
  return little(uint64_t{header.size()}) + header + data;
}

struct ZipPart {
  std::string name, data;
};

inline std::string zip_file(const std::vector<ZipPart>& parts) {
  std::string file, directory;
  for (const auto& [name, data] : parts) {
    const auto size = static_cast<uint32_t>(data.size());
    const uint32_t checksum = zoo::crc32(std::as_bytes(std::span(data)));
    const std::string common = std::string(8, '\0') + little(checksum) + little(size) + little(size) +
                               little(static_cast<uint16_t>(name.size())) + little(uint16_t{0});
    directory += little(0x02014b50u) + little(uint16_t{0}) + little(uint16_t{0}) + common + std::string(10, '\0') +
                 little(static_cast<uint32_t>(file.size())) + name;
    file += little(0x04034b50u) + little(uint16_t{0}) + common + name + data;
  }
  const auto count = static_cast<uint16_t>(parts.size());
  return file + directory + little(0x06054b50u) + little(uint32_t{0}) + little(count) + little(count) +
         little(static_cast<uint32_t>(directory.size())) + little(static_cast<uint32_t>(file.size())) +
         little(uint16_t{0});
}

// Runs `action`, which must throw a wkv::Error with this code and a message that holds `part`.
template <typename action_t>
void expect_error(ErrorCode code, std::string_view part, const action_t& action) {
  try {
    action();
    ADD_FAILURE() << "no error, expected one with: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << error.what();
    EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos) << error.what();
  }
}

}  // namespace wkv::test
