// RWKV-CLIP: two bidirectional RWKV-6 towers, of images and of texts, into one space (arXiv 2406.06973); parameters and
// names as in deepglint/RWKV-CLIP.
#pragma once
#include <torch/nn/pimpl.h>

#include <map>
#include <memory>
#include <string>

#include "wkv/models/model.h"

namespace wkv::models {

struct RWKVCLIPOptions {
  int64_t image_size = 224;  // for which the table of positions is made; images may have any other
  int64_t patch_size = 32, image_layers = 12, image_heads = 8, image_hidden_rate = 5;
  bool class_token = false;         // appended to the patches
  bool output_class_token = false;  // it is the image's feature; else that is the mean over the patches
  double drop_path = 0;             // of the last layer of the image tower, in training; of the first it is 0
  int64_t context = 77, vocab = 49408, text_layers = 6, text_head_size = 64;
  int64_t text_ffn_width = 0;    // 0: 3.5 * width, rounded down to a multiple of 32
  int64_t width = 640;           // of both towers
  double head_size_divisor = 8;  // the text tower's norm behind the op has eps 1e-5 * head_size_divisor^2
  bool checkpointing = false;    // layers are computed again in the backward pass
};

struct RWKVCLIPOutput {
  at::Tensor image_features, text_features;  // [B, width], not normalised
  at::Tensor logit_scale;                    // exp of the parameter, 0-d
};

class WKV_API RWKVCLIPImpl : public Model {
 public:
  // With upstream's initial values (torch's default generator draws the random ones), or, with initialise = false, with
  // parameters of no particular value, for a loader to replace. Throws wkv::Error for options that fit no model.
  explicit RWKVCLIPImpl(RWKVCLIPOptions options, bool initialise = true);
  ~RWKVCLIPImpl() override;

  // images [B, 3, H, W], normalised, any H and W; tokens int64 [B, T], T up to `context`: rows as
  // zoo::Tokenizer::encode_row makes them, padding included. Throws wkv::Error for others.
  RWKVCLIPOutput forward(const at::Tensor& images, const at::Tensor& tokens);
  // The features of either alone, [B, width]; with normalize of length 1, so that their products are cosines.
  at::Tensor encode_image(const at::Tensor& images, bool normalize = false);
  at::Tensor encode_text(const at::Tensor& tokens, bool normalize = false);

  std::string family() const override { return "rwkv_clip"; }
  std::string config_json() const override;
  std::map<std::string, std::string> metadata() const override;  // the configuration, which shapes tell in part
  std::string preprocessing() const;                             // as VisionModel's
  const RWKVCLIPOptions& options() const { return options_; }    // every 0 replaced

 private:
  struct Parts;
  RWKVCLIPOptions options_;
  std::shared_ptr<Parts> parts_;
};
TORCH_MODULE(RWKVCLIP);

}  // namespace wkv::models
