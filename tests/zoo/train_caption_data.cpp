#include <gmock/gmock.h>

#include <fstream>

#include "support/fixture.h"
#include "train/caption_data.h"
#include "train/random_bits.h"
#include "train_pictures.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using testing::HasSubstr;

// How often each of so many captions is drawn, of all draws.
std::vector<double> frequencies(size_t captions, const std::vector<double>& weights) {
  constexpr int kDraws = 20000;
  std::vector<double> counts(captions);
  for (uint64_t i = 0; i < kDraws; ++i) counts[draw_caption(captions, weights, random_bits(3, i))] += 1.0 / kDraws;
  return counts;
}

struct Frequencies {
  std::vector<double> weights;
  std::vector<double> expected;  // of as many captions
};

class DrawCaption : public testing::TestWithParam<Frequencies> {};

TEST_P(DrawCaption, has_the_stated_frequencies) {
  const auto& [weights, expected] = GetParam();
  EXPECT_THAT(frequencies(expected.size(), weights), testing::Pointwise(testing::DoubleNear(0.015), expected));
}

INSTANTIATE_TEST_SUITE_P(All, DrawCaption,
                         testing::Values(Frequencies{{}, {1.0 / 3, 1.0 / 3, 1.0 / 3}}, Frequencies{{}, {1.0}},
                                         Frequencies{{0.5, 0.3, 0.2}, {0.5, 0.3, 0.2}},
                                         Frequencies{{0.5, 0.3, 0.2}, {0.625, 0.375}},  // of those that there are
                                         Frequencies{{5, 0, 15}, {0.25, 0, 0.75}}));

TEST(DrawCaption, without_weight_is_never_drawn) {
  EXPECT_THAT(frequencies(3, {0, 1, 0}), testing::ElementsAre(0, testing::Gt(0), 0));
}

struct BrokenCaptions {
  const char* list;
  std::vector<double> weights;
  const char* message;
};

class RefusedCaptions : public testing::TestWithParam<BrokenCaptions> {};

TEST_P(RefusedCaptions, are_named_with_the_recipes_key) {
  const test::ScratchFolder folder;
  test::write_picture(folder / "a.png", {1, 2, 3});
  std::ofstream(folder / "captions.json") << GetParam().list;
  const TrainConfig::Data data{.images = folder.path().string(),
                               .captions = (folder / "captions.json").string(),
                               .caption_weights = GetParam().weights};
  EXPECT_THAT([&] { read_training_captions(data, "clip16"); },
              testing::ThrowsMessage<Error>(HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    All, RefusedCaptions,
    testing::Values(
        BrokenCaptions{R"([{"image": "a.png", "caption": [""]}])", {}, "the captions of a.png: an empty name"},
        BrokenCaptions{R"([{"image": "a.png", "caption": []}])", {}, "the captions of a.png: an empty list"},
        BrokenCaptions{R"([{"image": "a.png"}])", {}, R"(expected {"image", "caption"})"},
        BrokenCaptions{R"([{"image": "b.png", "caption": ["b"]}])", {}, "data.images: 1 of 1 images"},
        BrokenCaptions{R"([{"image": "a.png", "caption": ["a", "b"]}])",
                       {1},
                       "a.png has 2 captions, data.caption_weights 1 numbers"},
        BrokenCaptions{R"([{"image": "a.png", "caption": ["a"]}])", {0, 1}, "none of its captions"},
        BrokenCaptions{"[", {}, "data.captions: "}));

}  // namespace
}  // namespace wkv::zoo
