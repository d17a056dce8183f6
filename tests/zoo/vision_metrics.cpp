#include <ATen/Functions.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "support/data.h"
#include "support/fixture.h"
#include "wkv/error.h"
#include "wkv/zoo/metrics.h"
#include "wkv/zoo/zero_shot.h"

namespace wkv::zoo {
namespace {

const test::Fixture& evaluation() {
  static const test::Fixture fixture(test::data("rwkv_clip/evaluation.safetensors"));
  return fixture;
}

at::Tensor longs(std::vector<int64_t> values) { return at::tensor(values, at::kLong); }

TEST(Metrics, classification_is_scored_as_published) {
  const auto score = score_classification(evaluation()["zero_shot.logits"], evaluation()["zero_shot.target"]);
  EXPECT_EQ(score.images, 80);
  EXPECT_NEAR(score.top1, 0.975, 1e-12);
  EXPECT_NEAR(score.top5, 1.0, 1e-12);
  EXPECT_NEAR(score.mean_per_class, 0.980867326259613, 1e-7);  // published in fp32
}

TEST(Metrics, retrieval_is_scored_as_published) {
  const auto score = score_retrieval(evaluation()["retrieval.image_embeds"], evaluation()["retrieval.text_embeds"],
                                     evaluation()["retrieval.image_of_text"]);
  EXPECT_NEAR(score.text_to_image.at1, 0.5283018867924528, 1e-12);
  EXPECT_NEAR(score.text_to_image.at5, 0.8679245283018867, 1e-12);
  EXPECT_NEAR(score.text_to_image.at10, 0.9433962264150944, 1e-12);
  EXPECT_NEAR(score.image_to_text.at1, 0.625, 1e-12);
  EXPECT_NEAR(score.image_to_text.at5, 0.875, 1e-12);
  EXPECT_NEAR(score.image_to_text.at10, 1.0, 1e-12);
}

TEST(Metrics, a_zero_shot_classifier_is_the_published_one) {
  const at::Tensor& features = evaluation()["zero_shot.text_features"];  // [classes, prompts, C]
  std::vector<at::Tensor> columns;
  for (int64_t i = 0; i < features.size(0); ++i) columns.push_back(class_vector(features[i]));
  const at::Tensor classifier = at::stack(columns, 1);
  EXPECT_LT(test::relative_error(classifier, evaluation()["zero_shot.classifier"]), 1e-6);
  EXPECT_LT(test::relative_error(zero_shot_logits(evaluation()["zero_shot.image_embeds"], classifier),
                                 evaluation()["zero_shot.logits"]),
            1e-6);
}

TEST(Metrics, classes_without_images_are_not_in_the_mean_per_class) {
  const at::Tensor logits = at::eye(3).index({longs({0, 0, 2})});
  const auto score = score_classification(logits, longs({0, 2, 2}));
  EXPECT_NEAR(score.top1, 2.0 / 3, 1e-12);
  EXPECT_NEAR(score.mean_per_class, 0.75, 1e-12);
}

TEST(Metrics, equal_scores_are_no_hits_for_everyone) {
  EXPECT_NEAR(score_classification(at::zeros({4, 4}), longs({0, 1, 2, 3})).top1, 0.25, 1e-12);
  const auto score = score_retrieval(at::ones({4, 3}), at::ones({4, 3}), longs({0, 1, 2, 3}));
  EXPECT_NEAR(score.text_to_image.at1, 0.25, 1e-12);
  EXPECT_NEAR(score.image_to_text.at1, 0.25, 1e-12);
}

TEST(Metrics, what_is_not_a_number_is_no_hit) {
  const at::Tensor logits = at::full({1, 8}, 1.0);
  logits[0][3] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(score_classification(logits, longs({3})).top5, 0);
}

TEST(Metrics, retrieval_in_blocks_is_the_same) {
  at::manual_seed(1);
  const int64_t n = 3000, m = 6000;  // several blocks both ways
  const at::Tensor images = at::randn({n, 4}), image_of_text = at::arange(m) % n;
  const at::Tensor texts = images.index({image_of_text}) + 0.05 * at::randn({m, 4});
  const auto score = score_retrieval(images, texts, image_of_text);
  const auto unit = [](const at::Tensor& x) { return x / x.norm(2, {1}, true); };
  const at::Tensor best = at::mm(unit(texts), unit(images).t()).argmax(1);
  EXPECT_NEAR(score.text_to_image.at1, (best == image_of_text).to(at::kDouble).mean().item<double>(), 1e-3);
  EXPECT_GT(score.image_to_text.at10, score.image_to_text.at1);
}

TEST(Metrics, what_does_not_fit_is_refused) {
  EXPECT_THROW(score_classification(at::zeros({2, 3}), longs({0})), Error);
  EXPECT_THROW(score_classification(at::zeros({2, 3}), longs({0, 3})), Error);
  EXPECT_THROW(score_classification(at::zeros({2, 3}), longs({0, -1})), Error);
  EXPECT_THROW(score_classification(at::zeros({0, 3}), longs({})), Error);
  EXPECT_THROW(score_retrieval(at::ones({2, 3}), at::ones({2, 4}), longs({0, 1})), Error);
  EXPECT_THROW(score_retrieval(at::ones({2, 3}), at::ones({2, 3}), longs({0, 2})), Error);
}

TEST(Metrics, an_image_without_texts_is_refused) {
  try {
    score_retrieval(at::ones({3, 3}), at::ones({2, 3}), longs({0, 2}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "image_of_text: image 1 has no text");
  }
}

}  // namespace
}  // namespace wkv::zoo
