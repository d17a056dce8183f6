#include "train/augmentation.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "train/draws.h"

namespace wkv::zoo {
namespace {

Interval centred(int64_t size, int64_t length) { return {(size - length) / 2, length}; }

Box largest_central(const std::vector<double>& aspects, int64_t height, int64_t width) {
  const double h = static_cast<double>(height), w = static_cast<double>(width);
  const double aspect = std::clamp(w / h, aspects[0], aspects[1]);
  const int64_t rows = std::clamp<int64_t>(std::llround(w / aspect), 1, height);
  const int64_t columns = std::clamp<int64_t>(std::llround(h * aspect), 1, width);
  return {centred(height, rows), centred(width, columns)};
}

double draw_beta(double alpha, uint64_t bits) {
  std::mt19937_64 generator(bits);
  std::gamma_distribution<double> gamma(alpha);
  const double a = gamma(generator), b = gamma(generator);
  return a + b > 0 ? a / (a + b) : 1.0;  // both are 0 for an alpha near 0
}

// The part of `size` around `centre` that a side of this length covers.
Interval covered(int64_t centre, int64_t length, int64_t size) {
  const int64_t first = std::max<int64_t>(centre - length / 2, 0);
  return {first, std::min(centre - length / 2 + length, size) - first};
}

struct Size {
  int64_t rows, columns;
};

// Of an area between parts of height x width and an aspect, the logarithm of which is uniform; it need not fit.
Size draw_size(Draws& draws, const std::vector<double>& areas, const std::vector<double>& aspects, int64_t height,
               int64_t width) {
  const double area = draws.between(areas[0], areas[1]) * static_cast<double>(height * width);
  const double aspect = std::exp(draws.between(std::log(aspects[0]), std::log(aspects[1])));
  return {std::llround(std::sqrt(area / aspect)), std::llround(std::sqrt(area * aspect))};
}

Box draw_place(Draws& draws, const Size& size, int64_t height, int64_t width) {
  const int64_t top = draws.up_to(height - size.rows);
  return {{top, size.rows}, {draws.up_to(width - size.columns), size.columns}};
}

}  // namespace

Box draw_crop(const TrainConfig::Augment& augment, uint64_t bits, int64_t height, int64_t width) {
  Draws draws(bits, Purpose::crop);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const Size size = draw_size(draws, augment.crop_area, augment.crop_aspect, height, width);
    const bool fits = size.rows >= 1 && size.columns >= 1 && size.rows <= height && size.columns <= width;
    if (fits) return draw_place(draws, size, height, width);
  }
  return largest_central(augment.crop_aspect, height, width);
}

bool draw_flip(const TrainConfig::Augment& augment, uint64_t bits) {
  return Draws(bits, Purpose::flip).between(0, 1) < augment.flip;
}

std::optional<Box> draw_erasure(const TrainConfig::Augment& augment, uint64_t bits, int64_t height, int64_t width) {
  Draws draws(bits, Purpose::erasing);
  if (draws.between(0, 1) >= augment.erase) return std::nullopt;
  const Size size = draw_size(draws, {0.02, 1.0 / 3}, {0.3, 1 / 0.3}, height, width);
  return draw_place(draws, {std::min(size.rows, height), std::min(size.columns, width)}, height, width);
}

Mixing draw_mixing(const TrainConfig::Augment& augment, uint64_t bits, int64_t height, int64_t width) {
  if (augment.mixup == 0 && augment.cutmix == 0) return {};
  Draws draws(bits, Purpose::mixing);
  const bool cut = augment.mixup == 0 || (augment.cutmix > 0 && draws.between(0, 1) < 0.5);
  const double share = draw_beta(cut ? augment.cutmix : augment.mixup, draws.next());
  if (!cut) return {.share = share};
  const double side = std::sqrt(1 - share);
  const auto length = [&](int64_t size) { return static_cast<int64_t>(side * static_cast<double>(size)); };
  const int64_t row = draws.up_to(height - 1), column = draws.up_to(width - 1);
  const Box box{covered(row, length(height), height), covered(column, length(width), width)};
  const auto area = static_cast<double>(box.rows.length * box.columns.length);
  return {.share = 1 - area / static_cast<double>(height * width), .cut = true, .box = box};
}

RgbImage cut_out(const RgbImage& image, const Box& box) {
  RgbImage part(box.rows.length, box.columns.length);
  for (int64_t y = 0; y < part.height; ++y)
    std::copy_n(image.row(box.rows.first + y) + 3 * box.columns.first, 3 * part.width, part.row(y));
  return part;
}

void fill_with_noise(Planes& planes, const Box& box, const Pipeline& pipeline, uint64_t bits) {
  Draws draws(bits, Purpose::noise);
  for (size_t c = 0; c < 3; ++c) {
    for (int64_t y = 0; y < box.rows.length; ++y) {
      uint8_t* row = planes.values.get() +
                     (static_cast<int64_t>(c) * planes.height + box.rows.first + y) * planes.width + box.columns.first;
      for (int64_t x = 0; x < box.columns.length; ++x)
        row[x] =
            static_cast<uint8_t>(std::clamp(pipeline.mean[c] + pipeline.deviation[c] * draws.normal(), 0.0, 255.0));
    }
  }
}

void flip_horizontally(Planes& planes) {
  for (int64_t line = 0; line < 3 * planes.height; ++line) {
    uint8_t* row = planes.values.get() + line * planes.width;
    std::reverse(row, row + planes.width);
  }
}

}  // namespace wkv::zoo
