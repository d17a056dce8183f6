#include "train/rand_augment.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "train/draws.h"

namespace wkv::zoo {
namespace {

constexpr double kHighest = 10;

// An operation's strength: what the magnitude is of the highest one, and that with a random sign.
struct Strength {
  double part, with_sign;
};

using Operation = void (*)(Planes& planes, const Strength& strength, const Colour& fill);

constexpr double kFactor = 0.9, kShear = 0.3, kShift = 0.45, kDegrees = 30;  // at the highest magnitude

void warp(Planes& planes, const AffineMap& map, const Colour& fill) { planes = transform(planes, map, fill); }

constexpr std::array<Operation, 15> kOperations = {
    [](Planes& p, const Strength&, const Colour&) { auto_contrast(p); },
    [](Planes& p, const Strength&, const Colour&) { equalize(p); },
    [](Planes& p, const Strength&, const Colour&) { invert(p); },
    [](Planes& p, const Strength& s, const Colour& fill) {
      warp(p, rotation(kDegrees * s.with_sign, p.height, p.width), fill);
    },
    [](Planes& p, const Strength& s, const Colour&) { posterize(p, std::lround(std::ceil(4 * (1 - s.part)))); },
    [](Planes& p, const Strength& s, const Colour&) { solarize(p, 256 * (1 - s.part)); },
    [](Planes& p, const Strength& s, const Colour&) { solarize_add(p, static_cast<int64_t>(110 * s.part)); },
    [](Planes& p, const Strength& s, const Colour&) { adjust_colour(p, 1 + kFactor * s.with_sign); },
    [](Planes& p, const Strength& s, const Colour&) { adjust_contrast(p, 1 + kFactor * s.with_sign); },
    [](Planes& p, const Strength& s, const Colour&) { adjust_brightness(p, 1 + kFactor * s.with_sign); },
    [](Planes& p, const Strength& s, const Colour&) { adjust_sharpness(p, 1 + kFactor * s.with_sign); },
    [](Planes& p, const Strength& s, const Colour& fill) {
      warp(p, {1, kShear * s.with_sign, 0, 0, 1, 0}, fill);
    },
    [](Planes& p, const Strength& s, const Colour& fill) {
      warp(p, {1, 0, 0, kShear * s.with_sign, 1, 0}, fill);
    },
    [](Planes& p, const Strength& s, const Colour& fill) {
      warp(p, {1, 0, kShift * s.with_sign * static_cast<double>(p.width), 0, 1, 0}, fill);
    },
    [](Planes& p, const Strength& s, const Colour& fill) {
      warp(p, {1, 0, 0, 0, 1, kShift * s.with_sign * static_cast<double>(p.height)}, fill);
    },
};

}  // namespace

void rand_augment(Planes& planes, double magnitude, const Colour& fill, uint64_t bits) {
  constexpr int kChosen = 2;
  constexpr double kDeviation = 0.5;
  Draws draws(bits, Purpose::rand_augment);
  for (int i = 0; i < kChosen; ++i) {
    const auto operation = kOperations.at(static_cast<size_t>(draws.up_to(kOperations.size() - 1)));
    const bool done = draws.between(0, 1) < 0.5;
    const double part = std::clamp(magnitude + kDeviation * draws.normal(), 0.0, kHighest) / kHighest;
    const double sign = draws.between(0, 1) < 0.5 ? -1 : 1;
    if (done) operation(planes, {.part = part, .with_sign = sign * part}, fill);
  }
}

}  // namespace wkv::zoo
