// What decoding does with files that are no images, or hostile ones: one line that names the file, and little memory.
#include <gtest/gtest.h>

#include "image/decode.h"
#include "io_files.h"
#include "support/image_files.h"

namespace wkv::test {
namespace {

std::string small_png() { return png_file(3, std::vector<std::string>(4, "abcdefghi")); }

// The frame header of a JPEG that announces this size, in a small whole one.
std::string jpeg_that_announces(uint32_t height, uint32_t width) {
  std::string file = jpeg_file(8, 8, std::vector<uint8_t>(8 * 8 * 3, 100));
  return file.replace(file.find("\xff\xc0") + 5, 4, big(height, 2) + big(width, 2));
}

struct BadFile {
  const char* name;
  ErrorCode code;
  std::string bytes, message;
};

std::vector<BadFile> bad_files() {
  const auto corrupt = ErrorCode::corrupt_file, unsupported = ErrorCode::unsupported_format;
  std::string wrong_checksum = small_png();
  wrong_checksum[kPngHeaderBytes - 1] ^= 1;
  return {
      {"nothing.png", corrupt, "", "the file is empty"},
      {"text.jpg", unsupported, "Dear reader,\nhello", "got a file that begins with \"Dear reader,?hel\""},
      {"one_byte.jpg", unsupported, "\xff", "expected a JPEG or PNG image, got a file that begins with \"?\""},
      {"moving.gif", unsupported, "GIF89a and more", "expected a JPEG or PNG image, got a GIF"},
      {"moving.webp", unsupported, "RIFF    WEBPVP8X", "expected a JPEG or PNG image, got a WebP"},
      {"scan.tif", unsupported, std::string("II*\0", 4), "got a TIFF"},
      {"photo.heic", unsupported, "    ftypheic", "got a HEIF, AVIF or video"},
      {"moving.png", unsupported, with_chunk(small_png(), "acTL", std::string(8, '\1')), "an animated PNG"},
      {"bomb.png", unsupported, png_header(100'000, 100'000) + png_chunk("IDAT", "x"),
       "the image has 100000 x 100000 pixels (width x height), more than the 268435456 allowed"},
      {"wide.png", unsupported, png_header(1, 2'000'000'000) + png_chunk("IDAT", "x"), "2000000000 x 1 pixels"},
      {"empty.png", corrupt, png_header(0, 7) + png_chunk("IDAT", "x"), "cannot be decoded as a PNG: Invalid IHDR"},
      {"bomb.jpg", unsupported, jpeg_that_announces(65'000, 65'000), "the image has 65000 x 65000 pixels"},
      {"largest.jpg", corrupt, jpeg_that_announces(65'535, 65'535), "Maximum supported image dimension is 65500"},
      {"empty.jpg", corrupt, jpeg_that_announces(0, 8), "cannot be decoded as a JPEG"},
      {"hollow.png", corrupt, png_header(16'000, 16'000) + png_chunk("IDAT", "x"),
       "bytes cannot hold the image, which takes at least 744186"},
      {"hollow.jpg", corrupt, jpeg_that_announces(16'000, 16'000),
       "bytes cannot hold the image, which takes at least "},
      {"changed.png", corrupt, wrong_checksum, "cannot be decoded as a PNG: IHDR: CRC error"},
      {"no_pixels.png", corrupt, png_header(4, 3) + png_chunk("IDAT", "") + png_chunk("IEND", ""),
       "Not enough image data"},
      {"no_palette.png", corrupt, png_header(4, 3).replace(8 + 8 + 9, 1, "\3") + png_chunk("IDAT", "x"),
       "cannot be decoded as a PNG"},
  };
}

TEST(Decode, what_is_no_image_is_refused_in_one_line_that_names_it) {
  for (const BadFile& file : bad_files())
    for (const auto rules : {zoo::DecodeRules::opencv, zoo::DecodeRules::pillow}) {
      expect_error(file.code, file.message, [&] { zoo::decode(file.bytes, file.name, rules); });
      expect_error(file.code, std::string(file.name) + ": ", [&] { zoo::decode(file.bytes, file.name, rules); });
    }
}

TEST(Decode, a_truncated_png_is_refused) {
  for (const bool interlaced : {false, true}) {
    PngOptions options;
    options.interlaced = interlaced;
    const std::string whole = png_file(3, std::vector<std::string>(4, "abcdefghi"), options);
    for (size_t size = 0; size < whole.size(); ++size)
      EXPECT_THROW(zoo::decode(whole.substr(0, size), "a.png", zoo::DecodeRules::opencv), Error) << size;
  }
}

// Run under AddressSanitizer this also looks for reads outside of the bytes, and for memory never released.
TEST(Decode, a_changed_byte_gives_an_image_of_some_kind_or_an_error) {
  std::vector<uint8_t> samples;
  for (uint32_t i = 0; i < 16 * 24 * 3; ++i) samples.push_back(static_cast<uint8_t>(i * 2654435761u >> 24));
  const std::string exif = exif_data(6);
  const std::string files[] = {
      with_chunk(small_png(), "eXIf", exif),
      png_file(9, std::vector<std::string>(5, std::string("\x1b\x2d\x40", 3)),
               {PNG_COLOR_TYPE_PALETTE, 2, true, {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}, {10, 11, 12}}}),
      jpeg_file(16, 24, samples, {.exif = exif}),
      jpeg_file(16, 24, samples, {.progressive = true, .exif = exif}),
      jpeg_file(16, 18, samples, {.color_space = JCS_CMYK}),
  };
  size_t decoded = 0, refused = 0;
  for (const std::string& file : files)
    for (size_t at = 0; at < file.size(); ++at)
      for (const int mask : {0x01, 0x80, 0xff}) {
        std::string changed = file;
        changed[at] = static_cast<char>(changed[at] ^ mask);
        try {
          const zoo::RgbImage image = zoo::decode(changed, "changed", zoo::DecodeRules::opencv);
          decoded += image.height > 0 && image.width > 0;
        } catch (const Error& error) {
          refused += std::string_view(error.what()).starts_with("changed: ");
        }
      }
  EXPECT_GT(decoded, 0);
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace wkv::test
