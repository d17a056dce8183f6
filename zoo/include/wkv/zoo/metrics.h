// How well vision models answer: the arithmetic of the published evaluations.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "wkv/export.h"

namespace wkv::zoo {

// Shares, 0 to 1.
struct ClassificationScore {
  int64_t images = 0;
  double top1 = 0, top5 = 0;
  double mean_per_class = 0;  // of the top-1 shares of the classes that targets name
};

// logits [n, classes], targets int64 [n]. Among equal logits the class with the lower index is first. Throws wkv::Error
// for other shapes and dtypes, and for targets outside of the classes.
WKV_API ClassificationScore score_classification(const at::Tensor& logits, const at::Tensor& targets);

// R@1, R@5, R@10: the share of queries with a right answer among the first 1, 5, 10.
struct Recall {
  double at1 = 0, at5 = 0, at10 = 0;
};
struct RetrievalScore {
  Recall text_to_image;  // a caption's answer is its image
  Recall image_to_text;  // an image's is any of its captions
};

// images [n, C] and texts [m, C], by cosine similarity; image_of_text int64 [m]: the image that a text describes.
// Memory beside the arguments is bounded. Throws wkv::Error for other shapes and dtypes, and for an image without
// texts.
WKV_API RetrievalScore score_retrieval(const at::Tensor& images, const at::Tensor& texts,
                                       const at::Tensor& image_of_text);

}  // namespace wkv::zoo
