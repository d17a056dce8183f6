#include "image/png.h"

#include <fmt/format.h>
#include <png.h>

#include <cstring>
#include <new>
#include <optional>

#include "image/limits.h"
#include "image/longjmp_guard.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr size_t kSignatureBytes = 8;

uint32_t big_endian(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// The data of the first chunk of this type; nothing where there is none before the end, or before `last`.
std::optional<std::string_view> find_chunk(std::string_view bytes, std::string_view type, std::string_view last) {
  constexpr size_t kFrame = 12;  // length, type and checksum
  for (size_t at = kSignatureBytes; at + kFrame <= bytes.size();) {
    const size_t length = big_endian(bytes, at);
    if (length > bytes.size() - at - kFrame) break;
    const std::string_view found = bytes.substr(at + 4, 4);
    if (found == type) return bytes.substr(at + 8, length);
    if (found == last) break;
    at += kFrame + length;
  }
  return std::nullopt;
}

class PngDecoder {
 public:
  PngDecoder(std::string_view bytes, const std::string& name) : bytes_(bytes), rest_(bytes), name_(name) {}
  ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  RgbImage decode() {
    call([&] {
      png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
      info_ = png_ ? png_create_info_struct(png_) : nullptr;
    });
    if (!info_) throw std::bad_alloc();
    call([&] {
      png_set_read_fn(png_, this, read);
      png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // ours are below
      // No text, colour profile or the like is read, which a hostile file could make large.
      png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
      png_read_info(png_, info_);
    });
    const int64_t height = png_get_image_height(png_, info_), width = png_get_image_width(png_, info_);
    require_few_pixels(name_, height, width);
    constexpr int64_t kMostCompression = 1032;  // by deflate
    const auto row_bytes = static_cast<int64_t>(png_get_rowbytes(png_, info_));
    require_enough_bytes(name_, static_cast<int64_t>(bytes_.size()), height * row_bytes / kMostCompression);
    int passes = 0;
    call([&] {
      png_set_expand(png_);
      png_set_strip_16(png_);
      png_set_gray_to_rgb(png_);
      png_set_strip_alpha(png_);
      passes = png_set_interlace_handling(png_);
      png_read_update_info(png_, info_);
    });
    RgbImage image(height, width);
    call([&] {
      for (int pass = 0; pass < passes; ++pass)
        for (int64_t y = 0; y < height; ++y) png_read_row(png_, image.row(y), nullptr);
      png_read_end(png_, nullptr);
    });
    return image;
  }

 private:
  static void on_error(png_structp png, png_const_charp message) {
    auto& decoder = *static_cast<PngDecoder*>(png_get_error_ptr(png));
    std::strncpy(decoder.message_, message, sizeof decoder.message_ - 1);
    decoder.guard_.fail();
  }
  static void on_warning(png_structp, png_const_charp) {}
  static void read(png_structp png, png_bytep to, size_t size) {
    auto& rest = static_cast<PngDecoder*>(png_get_io_ptr(png))->rest_;
    if (rest.size() < size) png_error(png, "the file ends before the image does");
    std::memcpy(to, rest.data(), size);
    rest.remove_prefix(size);
  }

  template <typename calls_t>
  void call(const calls_t& calls) {
    if (guard_.run(calls)) return;
    throw Error(ErrorCode::corrupt_file,
                fmt::format("{}: cannot be decoded as a PNG: {}", name_, static_cast<const char*>(message_)));
  }

  std::string_view bytes_, rest_;
  const std::string& name_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  LongjmpGuard guard_;
  char message_[128] = {};
};

}  // namespace

RgbImage decode_png(std::string_view bytes, const std::string& name) { return PngDecoder(bytes, name).decode(); }

std::string_view png_exif(std::string_view bytes) { return find_chunk(bytes, "eXIf", "IEND").value_or(""); }

bool is_animated_png(std::string_view bytes) { return find_chunk(bytes, "acTL", "IDAT").has_value(); }

}  // namespace wkv::zoo
