// From image files to what the vision models read: decoding, Pillow's bicubic resize, the published pipelines.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>
#include <vector>

#include "wkv/export.h"
#include "wkv/zoo/decode_rules.h"

namespace wkv::zoo {

// A pipeline by its published name:
//   mm224    Vision-RWKV T, S, B and VRWKV6: EXIF orientation applied, alpha dropped, short side 256, centre 224
//   vl384    VRWKV-L: short side 384, centre 384
//   clip224  RWKV-CLIP: short side 224, centre 224
// vl and clip are followed by the size, which may be another one. All resize with Pillow's bicubic filter over bytes.

// Throws wkv::Error for a name that is none of these.
WKV_API void require_pipeline(const std::string& pipeline);

// A JPEG or PNG file's bytes to fp32 [3, H, W], normalised; name: for messages. Throws wkv::Error for bytes that are no
// whole image, and for one of more than 2^28 pixels, before memory for it is taken.
WKV_API at::Tensor preprocess(std::string_view bytes, const std::string& name, const std::string& pipeline);
WKV_API at::Tensor preprocess_file(const std::string& path, const std::string& pipeline);

// Many files at once, on as many threads as PyTorch has: each one's image or, where it failed, one line that names the
// file.
struct PreprocessedFile {
  at::Tensor image;
  std::string error;  // empty: none
};
WKV_API std::vector<PreprocessedFile> preprocess_files(const std::vector<std::string>& paths,
                                                       const std::string& pipeline);

// The steps by themselves, over uint8 [H, W, 3].
WKV_API at::Tensor decode_image(std::string_view bytes, const std::string& name, DecodeRules rules);
// Pillow's Image.resize(BICUBIC), bit for bit; sides of 1 to 65536 pixels.
WKV_API at::Tensor resize_bicubic(const at::Tensor& image, int64_t height, int64_t width);

}  // namespace wkv::zoo
