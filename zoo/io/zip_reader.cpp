#include "io/zip_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>

#include "core/parallel.h"
#include "io/crc32.h"
#include "io/printable.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr uint32_t kZipEnd = 0x06054b50, kZip64End = 0x06064b50, kZip64Locator = 0x07064b50, kZipCentral = 0x02014b50,
                   kZipLocal = 0x04034b50;
constexpr size_t kZipEndSize = 22, kZip64EndSize = 56, kZip64LocatorSize = 20, kZipCentralSize = 46, kZipLocalSize = 30;

// Where the central directory says that an entry is.
struct ZipDirectoryEntry {
  std::string_view name;
  uint64_t size, header_offset;
  uint32_t checksum;
  uint16_t method;
};

// Reads the archive's structures; every read is checked against the file's size.
class ZipParser {
 public:
  ZipParser(std::span<std::byte> bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  struct Directory {
    uint64_t offset, size, count;
  };

  // The end record is the last in the file, but for a comment of up to 65535 bytes.
  Directory locate() const {
    if (bytes_.size() < kZipEndSize) fail("is too short for a zip archive");
    const size_t last = bytes_.size() - kZipEndSize;
    const size_t first = last > 65535 ? last - 65535 : 0;
    for (size_t at = last + 1; at-- > first;)
      if (number<uint32_t>(at) == kZipEnd && at + kZipEndSize + number<uint16_t>(at + 20) == bytes_.size())
        return directory_at(at);
    fail("is a zip archive without its directory: it is truncated");
  }

  // One central record; moves `at` behind it.
  ZipDirectoryEntry central(uint64_t& at) const {
    if (number<uint32_t>(at) != kZipCentral) fail("has a broken zip directory");
    const auto flags = number<uint16_t>(at + 8), method = number<uint16_t>(at + 10);
    const auto name_size = number<uint16_t>(at + 28), extra_size = number<uint16_t>(at + 30),
               comment_size = number<uint16_t>(at + 32);
    uint64_t packed = number<uint32_t>(at + 20), size = number<uint32_t>(at + 24), offset = number<uint32_t>(at + 42);
    const std::string_view name = text(at + kZipCentralSize, name_size);
    if (flags & 1) unsupported(fmt::format("entry {} is encrypted", printable(name)));
    read_zip64(at + kZipCentralSize + name_size, extra_size, size, packed, offset);
    if (method == 0 && packed != size) fail(fmt::format("entry {} has two sizes", printable(name)));
    const auto checksum = number<uint32_t>(at + 16);
    at += kZipCentralSize + name_size + extra_size + comment_size;
    return {name, packed, offset, checksum, method};
  }

  // The entry's data, behind its local header. That header repeats the central one, with a size of its own for the
  // extra field.
  std::span<std::byte> data(const ZipDirectoryEntry& entry) const {
    const uint64_t at = entry.header_offset;
    if (number<uint32_t>(at) != kZipLocal)
      fail(fmt::format("entry {} is not where the directory says", printable(entry.name)));
    const auto name_size = number<uint16_t>(at + 26), extra_size = number<uint16_t>(at + 28);
    if (number<uint16_t>(at + 8) != entry.method || text(at + kZipLocalSize, name_size) != entry.name)
      fail(fmt::format("entry {} does not agree with the directory", printable(entry.name)));
    return part(at + kZipLocalSize + name_size + extra_size, entry.size);
  }

  [[noreturn]] void fail(const std::string& what) const { throw Error(ErrorCode::corrupt_file, path_ + ": " + what); }
  [[noreturn]] void unsupported(const std::string& what) const {
    throw Error(ErrorCode::unsupported_format, path_ + ": " + what);
  }

 private:
  Directory directory_at(size_t end) const {
    if (number<uint16_t>(end + 4) != number<uint16_t>(end + 6) ||
        number<uint16_t>(end + 8) != number<uint16_t>(end + 10))
      unsupported("is one part of a zip archive in several parts");
    Directory directory{number<uint32_t>(end + 16), number<uint32_t>(end + 12), number<uint16_t>(end + 10)};
    if (end >= kZip64LocatorSize && number<uint32_t>(end - kZip64LocatorSize) == kZip64Locator) {
      const auto at = number<uint64_t>(end - kZip64LocatorSize + 8);
      if (number<uint32_t>(at) != kZip64End) fail("has a broken zip64 directory");
      directory = {number<uint64_t>(at + 48), number<uint64_t>(at + 40), number<uint64_t>(at + 32)};
    }
    if (directory.offset > end || directory.size > end - directory.offset)
      fail("has a zip directory outside of the file");
    if (directory.count > directory.size / kZipCentralSize) fail("has fewer zip entries than it claims");
    return directory;
  }

  // In the zip64 extra field (id 1) stand, in this order, those values that do not fit in 32 bits.
  void read_zip64(uint64_t at, uint64_t left, uint64_t& size, uint64_t& packed, uint64_t& offset) const {
    while (left >= 4) {
      const auto id = number<uint16_t>(at);
      const uint64_t field = number<uint16_t>(at + 2);
      if (field > left - 4) fail("has a broken zip extra field");
      if (id == 1) {
        uint64_t value = at + 4;
        for (uint64_t* wide : {&size, &packed, &offset}) {
          if (*wide != 0xFFFFFFFFu) continue;
          if (value + 8 > at + 4 + field) fail("has a broken zip64 extra field");
          *wide = number<uint64_t>(value);
          value += 8;
        }
      }
      at += 4 + field;
      left -= 4 + field;
    }
  }

  std::span<std::byte> part(uint64_t offset, uint64_t size) const {
    if (offset > bytes_.size() || size > bytes_.size() - offset)
      fail("has a zip entry that reaches past the end: it is truncated or corrupt");
    return bytes_.subspan(offset, size);
  }
  template <typename number_t>
  number_t number(uint64_t offset) const {
    number_t value;
    std::memcpy(&value, part(offset, sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view text(uint64_t offset, uint64_t size) const {
    return {reinterpret_cast<const char*>(part(offset, size).data()), size};
  }

  std::span<std::byte> bytes_;
  const std::string& path_;
};

void check_zip_overlap(std::vector<std::span<std::byte>> parts, const ZipParser& parser) {
  std::ranges::sort(parts, {}, &std::span<std::byte>::data);
  for (size_t i = 1; i < parts.size(); ++i)
    if (parts[i - 1].data() + parts[i - 1].size() > parts[i].data()) parser.fail("has zip entries that overlap");
}

}  // namespace

ZipReader::ZipReader(std::span<std::byte> bytes, std::string path) : path_(std::move(path)) {
  const ZipParser parser(bytes, path_);
  const auto directory = parser.locate();
  entries_.reserve(directory.count);
  std::vector<std::span<std::byte>> parts{bytes.subspan(directory.offset)};
  parts.reserve(directory.count + 1);
  uint64_t at = directory.offset;
  for (uint64_t i = 0; i < directory.count; ++i) {
    const ZipDirectoryEntry entry = parser.central(at);
    const auto data = parser.data(entry);
    parts.push_back(bytes.subspan(entry.header_offset,
                                  static_cast<size_t>(data.data() + data.size() - bytes.data()) - entry.header_offset));
    entries_.push_back({entry.name, data, entry.checksum, entry.method == 0});
    has_checksums_ |= entry.checksum != 0;
  }
  if (at != directory.offset + directory.size) parser.fail("has more zip entries than it claims");
  check_zip_overlap(std::move(parts), parser);
  std::ranges::sort(entries_, {}, &ZipEntry::name);
  const auto twin = std::ranges::adjacent_find(entries_, {}, &ZipEntry::name);
  if (twin != entries_.end()) parser.fail(fmt::format("has two zip entries with the name {}", printable(twin->name)));
}

const ZipEntry* ZipReader::find(std::string_view name) const {
  const auto found = std::ranges::lower_bound(entries_, name, {}, &ZipEntry::name);
  return found != entries_.end() && found->name == name ? &*found : nullptr;
}

void ZipReader::check(std::vector<const ZipEntry*> entries,
                      const std::function<void(std::span<std::byte>)>& checked) const {
  for (const ZipEntry* entry : entries)
    if (!entry->stored)
      throw Error(ErrorCode::unsupported_format,
                  fmt::format("{}: {} is compressed, which torch.save never does: save it again with torch.save", path_,
                              printable(entry->name)));
  if (!has_checksums_) return;
  // Every thread takes the largest that is left.
  std::ranges::sort(entries, std::ranges::greater{}, [](const ZipEntry* entry) { return entry->data.size(); });
  for_each_in_parallel(entries.size(), [&](size_t i) {
    if (crc32(entries[i]->data) != entries[i]->checksum)
      throw Error(ErrorCode::checksum,
                  fmt::format("{}: the bytes of {} do not match their checksum: the file is damaged, get it again",
                              path_, printable(entries[i]->name)));
    if (checked) checked(entries[i]->data);
  });
}

std::span<std::byte> ZipReader::read(const ZipEntry& entry) const {
  check({&entry});
  return entry.data;
}

}  // namespace wkv::zoo
