#include <gtest/gtest.h>

#include "image/decode.h"
#include "io_files.h"
#include "support/image_files.h"

namespace wkv::test {
namespace {

struct PngCase {
  std::string name;
  int color_type, bit_depth;
};

int channels_of(int color_type) {
  switch (color_type) {
    case PNG_COLOR_TYPE_GRAY_ALPHA:
      return 2;
    case PNG_COLOR_TYPE_RGB:
      return 3;
    case PNG_COLOR_TYPE_RGB_ALPHA:
      return 4;
    default:
      return 1;
  }
}

// Some value of a sample, which differs from its neighbours'.
uint32_t sample(const PngCase& c, uint32_t y, uint32_t x, int channel) {
  return (y * 7919 + x * 104729 + static_cast<uint32_t>(channel) * 1299709 + 12345) % (1u << c.bit_depth);
}

std::vector<png_color> palette() {
  std::vector<png_color> colors;
  for (int i = 0; i < 256; ++i)
    colors.push_back({static_cast<png_byte>(i * 3), static_cast<png_byte>(i * 5 + 1), static_cast<png_byte>(255 - i)});
  return colors;
}

uint8_t to_byte(uint32_t value, int bit_depth) {
  if (bit_depth == 16) return static_cast<uint8_t>(value >> 8);
  return static_cast<uint8_t>(value * 255 / ((1u << bit_depth) - 1));
}

std::vector<std::string> rows_of(const PngCase& c, uint32_t height, uint32_t width) {
  std::vector<std::string> rows;
  for (uint32_t y = 0; y < height; ++y) {
    std::string row;
    uint32_t bits = 0;
    int held = 0;
    for (uint32_t x = 0; x < width; ++x) {
      for (int channel = 0; channel < channels_of(c.color_type); ++channel) {
        bits = bits << c.bit_depth | sample(c, y, x, channel);
        for (held += c.bit_depth; held >= 8; held -= 8) row += static_cast<char>(bits >> (held - 8));
      }
    }
    if (held > 0) row += static_cast<char>(bits << (8 - held));
    rows.push_back(row);
  }
  return rows;
}

// What the pixel must become.
std::array<uint8_t, 3> color_of(const PngCase& c, uint32_t y, uint32_t x) {
  if (c.color_type == PNG_COLOR_TYPE_PALETTE) {
    const png_color color = palette()[sample(c, y, x, 0)];
    return {color.red, color.green, color.blue};
  }
  std::array<uint8_t, 3> color;
  const bool grey = channels_of(c.color_type) < 3;
  for (int i = 0; i < 3; ++i) color[i] = to_byte(sample(c, y, x, grey ? 0 : i), c.bit_depth);
  return color;
}

class PngOfKind : public testing::TestWithParam<PngCase> {};

const PngCase kKinds[] = {
    {"grey_1", PNG_COLOR_TYPE_GRAY, 1},        {"grey_2", PNG_COLOR_TYPE_GRAY, 2},
    {"grey_4", PNG_COLOR_TYPE_GRAY, 4},        {"grey_8", PNG_COLOR_TYPE_GRAY, 8},
    {"grey_16", PNG_COLOR_TYPE_GRAY, 16},      {"palette_1", PNG_COLOR_TYPE_PALETTE, 1},
    {"palette_2", PNG_COLOR_TYPE_PALETTE, 2},  {"palette_4", PNG_COLOR_TYPE_PALETTE, 4},
    {"palette_8", PNG_COLOR_TYPE_PALETTE, 8},  {"grey_alpha_8", PNG_COLOR_TYPE_GRAY_ALPHA, 8},
    {"grey_alpha_16", PNG_COLOR_TYPE_GA, 16},  {"rgb_8", PNG_COLOR_TYPE_RGB, 8},
    {"rgb_16", PNG_COLOR_TYPE_RGB, 16},        {"rgb_alpha_8", PNG_COLOR_TYPE_RGB_ALPHA, 8},
    {"rgb_alpha_16", PNG_COLOR_TYPE_RGBA, 16},
};

constexpr uint32_t kPngHeight = 11, kPngWidth = 13;

INSTANTIATE_TEST_SUITE_P(, PngOfKind, testing::ValuesIn(kKinds), [](const auto& kind) { return kind.param.name; });

TEST_P(PngOfKind, becomes_colours_of_8_bits) {
  const PngCase& c = GetParam();
  PngOptions options{c.color_type, c.bit_depth, false, {}};
  if (c.color_type == PNG_COLOR_TYPE_PALETTE) options.palette = palette();
  if (c.bit_depth < 8 && !options.palette.empty()) options.palette.resize(1u << c.bit_depth);
  for (const bool interlaced : {false, true}) {
    options.interlaced = interlaced;
    const std::string file = png_file(kPngWidth, rows_of(c, kPngHeight, kPngWidth), options);
    for (const auto rules : {zoo::DecodeRules::opencv, zoo::DecodeRules::pillow}) {
      const zoo::RgbImage image = zoo::decode(file, "a.png", rules);
      ASSERT_EQ(image.height, kPngHeight);
      ASSERT_EQ(image.width, kPngWidth);
      for (uint32_t y = 0; y < kPngHeight; ++y)
        for (uint32_t x = 0; x < kPngWidth; ++x)
          for (int i = 0; i < 3; ++i)
            ASSERT_EQ(image.row(y)[3 * x + i], color_of(c, y, x)[i])
                << "row " << y << " column " << x << " channel " << i << (interlaced ? " interlaced" : "");
    }
  }
}

TEST(Png, transparent_colours_stay_as_they_are) {
  PngOptions options;
  const std::string plain = png_file(2, {"abcdef"}, options);
  const std::string transparent = with_chunk(plain, "tRNS", std::string("\0a\0b\0c", 6));
  const zoo::RgbImage image = zoo::decode(transparent, "a.png", zoo::DecodeRules::pillow);
  EXPECT_EQ(std::string(image.row(0), image.row(0) + 6), "abcdef");
}

TEST(Png, what_says_nothing_about_pixels_is_not_read) {
  const std::string plain = png_file(2, {"abcdef"});
  for (const char* type : {"iCCP", "zTXt", "iTXt", "tEXt", "gAMA", "sBIT", "vpAg"}) {
    const std::string file = with_chunk(plain, type, std::string(100'000, 'x'));
    const zoo::RgbImage image = zoo::decode(file, "a.png", zoo::DecodeRules::pillow);
    EXPECT_EQ(std::string(image.row(0), image.row(0) + 6), "abcdef") << type;
  }
}

TEST(Png, an_index_beyond_the_palette_is_black) {
  const std::string file = png_file(2, {std::string("\0\5", 2)}, {PNG_COLOR_TYPE_PALETTE, 8, false, {{1, 2, 3}}});
  const zoo::RgbImage image = zoo::decode(file, "a.png", zoo::DecodeRules::pillow);
  EXPECT_EQ(std::string(image.row(0), image.row(0) + 6), std::string("\1\2\3\0\0\0", 6));
}

}  // namespace
}  // namespace wkv::test
