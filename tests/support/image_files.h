// Image files made by hand through libjpeg and libpng, and chunk by chunk.
#pragma once
#include <jpeglib.h>
#include <png.h>
#include <zlib.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace wkv::test {

struct JpegOptions {
  J_COLOR_SPACE color_space = JCS_RGB;  // of the samples
  bool progressive = false;
  std::string exif = {};  // a TIFF header and what follows it
};

// samples: [height, width, channels]
inline std::string jpeg_file(uint32_t height, uint32_t width, std::vector<uint8_t> samples,
                             const JpegOptions& options = {}) {
  jpeg_error_mgr errors;
  jpeg_compress_struct info;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &memory, &size);
  info.image_width = width;
  info.image_height = height;
  info.input_components = static_cast<int>(samples.size() / width / height);
  info.in_color_space = options.color_space;
  jpeg_set_defaults(&info);
  if (options.color_space == JCS_CMYK) jpeg_set_colorspace(&info, JCS_YCCK);
  jpeg_set_quality(&info, 95, TRUE);
  if (options.progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  if (!options.exif.empty()) {
    const std::string data = std::string("Exif\0\0", 6) + options.exif;
    jpeg_write_marker(&info, JPEG_APP0 + 1, reinterpret_cast<const JOCTET*>(data.data()),
                      static_cast<unsigned>(data.size()));
  }
  for (uint32_t y = 0; y < height; ++y) {
    JSAMPROW row = samples.data() + samples.size() / height * y;
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  const std::unique_ptr<unsigned char, decltype(&std::free)> owner(memory, std::free);
  return {reinterpret_cast<const char*>(memory), size};
}

struct PngOptions {
  int color_type = PNG_COLOR_TYPE_RGB, bit_depth = 8;
  bool interlaced = false;
  std::vector<png_color> palette = {};
};

// rows: as they stand in the file, several samples in a byte where they are small, big-endian where they have 16 bits.
inline std::string png_file(uint32_t width, std::vector<std::string> rows, const PngOptions& options = {}) {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  std::string file;
  png_set_write_fn(
      png, &file,
      [](png_structp writer, png_bytep bytes, size_t size) {
        static_cast<std::string*>(png_get_io_ptr(writer))->append(reinterpret_cast<const char*>(bytes), size);
      },
      nullptr);
  png_set_IHDR(png, info, width, static_cast<uint32_t>(rows.size()), options.bit_depth, options.color_type,
               options.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  if (!options.palette.empty())
    png_set_PLTE(png, info, options.palette.data(), static_cast<int>(options.palette.size()));
  png_write_info(png, info);
  std::vector<png_bytep> pointers;
  for (std::string& row : rows) pointers.push_back(reinterpret_cast<png_bytep>(row.data()));
  png_write_image(png, pointers.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return file;
}

inline std::string big(uint32_t value, int bytes) {
  std::string text;
  while (bytes-- > 0) text += static_cast<char>(value >> (8 * bytes));
  return text;
}

inline std::string png_chunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  const auto checksum = crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return big(static_cast<uint32_t>(data.size()), 4) + body + big(static_cast<uint32_t>(checksum), 4);
}

constexpr size_t kPngHeaderBytes = 8 + 25;  // signature and IHDR: other chunks may follow

// The file with another chunk behind its header.
inline std::string with_chunk(std::string png, const std::string& type, const std::string& data) {
  return png.insert(kPngHeaderBytes, png_chunk(type, data));
}

// The header of a PNG of 8-bit colours, and no pixels.
inline std::string png_header(uint32_t height, uint32_t width) {
  return "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", big(width, 4) + big(height, 4) + std::string("\x08\x02\0\0\0", 5));
}

// EXIF data that hold the orientation only.
inline std::string exif_data(int orientation, bool little_endian = true) {
  const auto number = [&](uint32_t value, int bytes) {
    std::string text = big(value, bytes);
    return little_endian ? std::string(text.rbegin(), text.rend()) : text;
  };
  return (little_endian ? "II" : "MM") + number(42, 2) + number(8, 4) + number(1, 2) + number(0x0112, 2) +
         number(3, 2) + number(1, 4) + number(static_cast<uint32_t>(orientation), 2) + number(0, 2) + number(0, 4);
}

}  // namespace wkv::test
