#include "image/jpeg.h"

#include <fmt/format.h>
#include <jerror.h>
#include <jpeglib.h>

#include <cstdio>
#include <memory>

#include "image/limits.h"
#include "image/longjmp_guard.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

// Every scan of a progressive file costs the time of the whole image.
constexpr int kMostScans = 100;

class JpegDecoder {
 public:
  JpegDecoder(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}
  ~JpegDecoder() { jpeg_destroy_decompress(&info_); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  RgbImage decode(DecodeRules rules) {
    info_.err = jpeg_std_error(&errors_);
    info_.client_data = this;
    errors_.error_exit = on_error;
    errors_.emit_message = on_message;
    call([&] {
      jpeg_create_decompress(&info_);
      info_.progress = &progress_;
      progress_.progress_monitor = on_progress;
      jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(bytes_.data()), bytes_.size());
      jpeg_read_header(&info_, TRUE);
    });
    require_supported();
    RgbImage image(info_.image_height, info_.image_width);
    const bool cmyk = info_.num_components == 4;
    const auto ink = std::make_unique_for_overwrite<uint8_t[]>(cmyk ? static_cast<size_t>(image.width) * 4 : 0);
    call([&] {
      info_.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
      jpeg_start_decompress(&info_);
    });
    for (int64_t y = 0; y < image.height; ++y) {
      JSAMPROW row = cmyk ? ink.get() : image.row(y);
      call([&] { jpeg_read_scanlines(&info_, &row, 1); });
      if (cmyk) convert_ink(ink.get(), image.row(y), image.width, rules);
    }
    call([&] { jpeg_finish_decompress(&info_); });
    return image;
  }

 private:
  static JpegDecoder& self(j_common_ptr info) { return *static_cast<JpegDecoder*>(info->client_data); }
  static void on_error(j_common_ptr info) { self(info).guard_.fail(); }
  // Warnings. After these two the library would fill the rest of the image with grey.
  static void on_message(j_common_ptr info, int level) {
    const int code = info->err->msg_code;
    if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER)) self(info).guard_.fail();
  }
  static void on_progress(j_common_ptr info) {
    JpegDecoder& decoder = self(info);
    decoder.too_many_scans_ = decoder.info_.input_scan_number > kMostScans;
    if (decoder.too_many_scans_) decoder.guard_.fail();
  }

  template <typename calls_t>
  void call(const calls_t& calls) {
    if (guard_.run(calls)) return;
    if (too_many_scans_)
      throw Error(ErrorCode::unsupported_format, fmt::format("{}: a JPEG of more than {} scans", name_, kMostScans));
    char message[JMSG_LENGTH_MAX];
    errors_.format_message(reinterpret_cast<j_common_ptr>(&info_), message);
    throw Error(ErrorCode::corrupt_file,
                fmt::format("{}: cannot be decoded as a JPEG: {}", name_, static_cast<const char*>(message)));
  }

  void require_supported() const {
    if (info_.arith_code) {
      throw Error(ErrorCode::unsupported_format,
                  fmt::format("{}: a JPEG with arithmetic coding, which is not supported", name_));
    }
    require_few_pixels(name_, info_.image_height, info_.image_width);
    // Of a component each block of 8 x 8 pixels has at least one Huffman code, and a code at least one bit.
    int64_t blocks = 0;
    for (int i = 0; i < info_.num_components; ++i)
      blocks += int64_t{info_.comp_info[i].width_in_blocks} * info_.comp_info[i].height_in_blocks;
    require_enough_bytes(name_, static_cast<int64_t>(bytes_.size()), blocks / 8);
  }

  // As Adobe stores CMYK, and as both libraries read every file: 255 is no ink.
  static void convert_ink(const uint8_t* cmyk, uint8_t* rgb, int64_t width, DecodeRules rules) {
    for (int64_t x = 0; x < width; ++x) {
      const int black = cmyk[4 * x + 3];
      for (int c = 0; c < 3; ++c) {
        const int darkened = (255 - cmyk[4 * x + c]) * black;
        const int rounded = (darkened + 128 + ((darkened + 128) >> 8)) >> 8;  // darkened / 255
        rgb[3 * x + c] = static_cast<uint8_t>(black - (rules == DecodeRules::opencv ? darkened >> 8 : rounded));
      }
    }
  }

  std::string_view bytes_;
  const std::string& name_;
  jpeg_decompress_struct info_{};
  jpeg_error_mgr errors_{};
  jpeg_progress_mgr progress_{};
  LongjmpGuard guard_;
  bool too_many_scans_ = false;
};

}  // namespace

RgbImage decode_jpeg(std::string_view bytes, const std::string& name, DecodeRules rules) {
  return JpegDecoder(bytes, name).decode(rules);
}

std::string_view jpeg_exif(std::string_view bytes) {
  constexpr std::string_view kExif("Exif\0\0", 6);
  constexpr uint8_t kApp1 = 0xe1, kStartOfScan = 0xda;
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(bytes[at]); };
  // Segments: 0xff, marker, two bytes of length that count themselves, data.
  for (size_t at = 2; at + 4 <= bytes.size() && byte(at) == 0xff && byte(at + 1) != kStartOfScan;) {
    const size_t length = static_cast<size_t>(byte(at + 2) << 8 | byte(at + 3));
    if (length < 2) break;
    const std::string_view data = bytes.substr(at + 4, length - 2);
    if (byte(at + 1) == kApp1 && data.starts_with(kExif)) return data.substr(kExif.size());
    at += 2 + length;
  }
  return {};
}

}  // namespace wkv::zoo
