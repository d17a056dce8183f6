#include "image/decode.h"

#include <fmt/format.h>

#include <utility>

#include "image/jpeg.h"
#include "image/orientation.h"
#include "image/png.h"
#include "io/printable.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr std::string_view kJpeg = "\xff\xd8\xff", kPng = "\x89PNG\r\n\x1a\n";

// What a file seems to be that is neither.
std::string other_format(std::string_view bytes) {
  const auto has = [&](size_t at, std::string_view signature) {
    return bytes.size() >= at && bytes.substr(at).starts_with(signature);
  };
  if (has(0, "GIF8")) return "a GIF";
  if (has(0, "RIFF") && has(8, "WEBP")) return "a WebP";
  if (has(0, "BM")) return "a BMP";
  if (has(0, {"II*\0", 4}) || has(0, {"MM\0*", 4})) return "a TIFF";
  if (has(4, "ftyp")) return "a HEIF, AVIF or video";
  return fmt::format("a file that begins with \"{}\"", printable(bytes.substr(0, 16)));
}

}  // namespace

RgbImage decode(std::string_view bytes, const std::string& name, DecodeRules rules) {
  if (bytes.empty()) throw Error(ErrorCode::corrupt_file, fmt::format("{}: the file is empty", name));
  const bool upright = rules == DecodeRules::opencv;
  if (bytes.starts_with(kJpeg)) {
    const int orientation = upright ? exif_orientation(jpeg_exif(bytes)) : 1;
    return turned_upright(decode_jpeg(bytes, name, rules), orientation);
  }
  if (bytes.starts_with(kPng)) {
    if (is_animated_png(bytes))
      throw Error(ErrorCode::unsupported_format, fmt::format("{}: expected an image, got an animated PNG", name));
    const int orientation = upright ? exif_orientation(png_exif(bytes)) : 1;
    return turned_upright(decode_png(bytes, name), orientation);
  }
  throw Error(ErrorCode::unsupported_format,
              fmt::format("{}: expected a JPEG or PNG image, got {}", name, other_format(bytes)));
}

}  // namespace wkv::zoo
