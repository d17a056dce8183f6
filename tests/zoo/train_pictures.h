// Tiny pictures to train on: each of one colour, no two the same.
#pragma once
#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/image_files.h"

namespace wkv::test {

using Colour = std::array<uint8_t, 3>;

// A PNG file whose left half is darker, so that it is not its own mirror image.
inline void write_picture(const std::filesystem::path& path, Colour colour, uint32_t width = 16, uint32_t height = 16) {
  std::string row;
  for (uint32_t x = 0; x < width; ++x)
    for (const uint8_t value : colour) row += static_cast<char>(x < width / 2 ? value / 2 : value);
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << png_file(width, std::vector<std::string>(height, row));
}

// The i-th shade of a class: 0 red, 1 green, 2 blue.
inline Colour shade(int label, int i) {
  Colour colour = {static_cast<uint8_t>(7 * i % 60), static_cast<uint8_t>(13 * i % 60), static_cast<uint8_t>(5 * i)};
  colour[static_cast<size_t>(label)] = static_cast<uint8_t>(255 - 3 * i);
  return colour;
}

inline const std::vector<std::string> kColours = {"red", "green", "blue"};

// folder/red/0.png, ...: so many of each colour.
inline void write_classes(const std::filesystem::path& folder, int count, int first = 0) {
  for (int label = 0; label < 3; ++label)
    for (int i = first; i < first + count; ++i)
      write_picture(folder / kColours[static_cast<size_t>(label)] / (std::to_string(i) + ".png"), shade(label, i));
}

// folder/red0.png, ... and folder/captions.json, which calls each by its colour in two ways.
inline void write_captions(const std::filesystem::path& folder, int count) {
  auto list = nlohmann::json::array();
  for (int label = 0; label < 3; ++label) {
    const auto& name = kColours[static_cast<size_t>(label)];
    for (int i = 0; i < count; ++i) {
      const std::string file = name + std::to_string(i) + ".png";
      write_picture(folder / file, shade(label, i));
      list.push_back({{"image", file}, {"caption", {name, "it is " + name}}});
    }
  }
  std::ofstream(folder / "captions.json") << list.dump();
}

}  // namespace wkv::test
