#include "image/preprocess.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>

#include "core/parallel.h"
#include "image/decode.h"
#include "image/limits.h"
#include "io/mapped_file.h"
#include "wkv/error.h"
#include "wkv/zoo/image.h"

namespace wkv::zoo {
namespace {

constexpr int64_t kMostFileBytes = int64_t{1} << 30;

// The central `length` of `size`; half a pixel goes to the even offset.
Interval central(int64_t size, int64_t length) {
  const int64_t rest = size - length;
  return {rest / 2 + (rest % 4 == 3), length};
}

at::Tensor preprocessed(const RgbImage& image, const Pipeline& pipeline) {
  at::Tensor tensor = at::empty({3, pipeline.crop, pipeline.crop}, at::kFloat);
  normalise(resize_and_crop(image, pipeline), pipeline, tensor.mutable_data_ptr<float>());
  return tensor;
}

}  // namespace

RgbImage read_image(const std::string& path, DecodeRules rules) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  if (bytes.size() > kMostFileBytes) {
    throw Error(
        ErrorCode::unsupported_format,
        fmt::format("{}: {} bytes are too many for an image, at most {} are read", path, bytes.size(), kMostFileBytes));
  }
  return decode({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path, rules);
}

Planes resize_and_crop(const RgbImage& image, const Pipeline& pipeline) {
  const int64_t shorter = std::min(image.height, image.width);
  const int64_t height = pipeline.short_side * image.height / shorter;
  const int64_t width = pipeline.short_side * image.width / shorter;
  return resize_part(image, height, width, central(height, pipeline.crop), central(width, pipeline.crop));
}

void normalise(const Planes& planes, const Pipeline& pipeline, float* to) {
  const uint8_t* from = planes.values.get();
  for (size_t c = 0; c < 3; ++c) {
    std::array<float, 256> values;
    for (size_t byte = 0; byte < 256; ++byte)
      values[byte] = static_cast<float>((static_cast<double>(byte) - pipeline.mean[c]) / pipeline.deviation[c]);
    for (int64_t i = 0; i < planes.height * planes.width; ++i) *to++ = values[*from++];
  }
}

void require_pipeline(const std::string& pipeline) { parse_pipeline(pipeline); }

at::Tensor preprocess(std::string_view bytes, const std::string& name, const std::string& pipeline) {
  const Pipeline parsed = parse_pipeline(pipeline);
  return preprocessed(decode(bytes, name, parsed.rules), parsed);
}

at::Tensor preprocess_file(const std::string& path, const std::string& pipeline) {
  const Pipeline parsed = parse_pipeline(pipeline);
  return preprocessed(read_image(path, parsed.rules), parsed);
}

std::vector<PreprocessedFile> preprocess_files(const std::vector<std::string>& paths, const std::string& pipeline) {
  const Pipeline parsed = parse_pipeline(pipeline);
  std::vector<PreprocessedFile> files(paths.size());
  for_each_in_parallel(paths.size(), [&](size_t i) {
    try {
      files[i].image = preprocessed(read_image(paths[i], parsed.rules), parsed);
    } catch (const Error& error) {
      files[i].error = error.what();
    } catch (const std::exception& error) {  // no memory
      files[i].error = fmt::format("{}: {}", paths[i], error.what());
    }
  });
  return files;
}

at::Tensor decode_image(std::string_view bytes, const std::string& name, DecodeRules rules) {
  RgbImage image = decode(bytes, name, rules);
  const auto release = [](void* pixels) { std::default_delete<uint8_t[]>()(static_cast<uint8_t*>(pixels)); };
  return at::from_blob(image.pixels.release(), {image.height, image.width, 3}, release, at::kByte);
}

at::Tensor resize_bicubic(const at::Tensor& image, int64_t height, int64_t width) {
  constexpr int64_t kLargestSide = 1 << 16;
  const auto fits = [](int64_t side) { return side >= 1 && side <= kLargestSide; };
  if (image.dim() != 3 || image.size(2) != 3 || image.scalar_type() != at::kByte || !fits(image.size(0)) ||
      !fits(image.size(1)))
    throw Error(ErrorCode::shape_mismatch, "resize_bicubic: image must be uint8 [H, W, 3], H and W from 1 to 65536");
  if (!fits(height) || !fits(width) || height * width > kMostPixels) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("resize_bicubic: expected a height and a width of 1 to {} and at most {} pixels, got {} x {}",
                    kLargestSide, kMostPixels, height, width));
  }
  const at::Tensor contiguous = image.cpu().contiguous();
  RgbImage source(image.size(0), image.size(1));
  std::copy_n(contiguous.const_data_ptr<uint8_t>(), contiguous.numel(), source.pixels.get());
  Planes planes = resize_part(source, height, width, {0, height}, {0, width});
  const at::Tensor channels_first = at::from_blob(planes.values.get(), {3, height, width}, at::kByte);
  return channels_first.permute({1, 2, 0}).clone(at::MemoryFormat::Contiguous);
}

}  // namespace wkv::zoo
