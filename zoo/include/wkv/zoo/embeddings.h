// Images and texts as vectors: how they are computed, and the files that hold them.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "wkv/export.h"
#include "wkv/models/rwkv_clip.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::zoo {

// One vector an image, fp32 [B, C], not normalised, of images [B, 3, H, W] in any floating-point dtype: RWKV-CLIP's
// encode_image; of another vision model the last stage's class token or, where it has none, the mean over the stage's
// patches. Without gradients. Throws wkv::Error for models that read no images.
WKV_API at::Tensor embed_images(models::Model& model, const at::Tensor& images);

// The C of what embed_images gives. Throws as it does.
WKV_API int64_t embedding_width(const models::Model& model);
// The published pipeline for a model's images, as VisionModel's and RWKVCLIP's preprocessing(). Throws as embed_images.
WKV_API std::string preprocessing_of(const models::Model& model);
// The pipeline that the card of the model's name says, else the model's own.
WKV_API std::string preprocessing_of(const std::string& path_or_name, const models::Model& model);

// One vector a text, fp32 [n, C], not normalised: encode_text over rows of the model's context length. Without
// gradients. Throws wkv::Error for a tokenizer that has no such rows, or larger ids than the model.
WKV_API at::Tensor embed_texts(models::RWKVCLIPImpl& model, const Tokenizer& tokenizer,
                               const std::vector<std::string>& texts);

struct Embeddings {
  at::Tensor vectors;              // fp32 [n, C]
  std::vector<std::string> names;  // n: the images' paths, or the texts
};

// By the suffix: .safetensors with the tensors "embeddings", fp32 [n, C], and "names", uint8, the names in UTF-8, each
// ended by a newline; or .npy (format 1.0, '<f4', C order), with the names, one a line, in a file beside it that ends
// in .names.txt instead. Written whole or not at all. Throws wkv::Error for another suffix, a name with a newline, and
// where it can't write.
WKV_API void save_embeddings(const std::string& path, const Embeddings& embeddings);

// Throws wkv::Error for a path whose suffix is neither of them: before hours of work, not after.
WKV_API void require_embedding_path(const std::string& path);

// Reads such a file, and .npy files of others: '<f4', '<f2' or '<f8'; without names beside them, names are the rows'
// numbers. Throws wkv::Error, which names the file.
WKV_API Embeddings load_embeddings(const std::string& path);

}  // namespace wkv::zoo
