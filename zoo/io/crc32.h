// The checksum of zip archives (CRC-32, polynomial 0x04C11DB7 reflected).
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "wkv/export.h"

namespace wkv::zoo {

WKV_API uint32_t crc32(std::span<const std::byte> bytes);

}  // namespace wkv::zoo
