#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "train/config.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using testing::HasSubstr;

const std::string kRecipe = R"({"output": "out", "data": {"files": ["a.txt"]}, "model": {"layers": 3}})";

std::string message_of(const std::string& json, const std::vector<std::string>& overrides = {}) {
  try {
    parse_train_config_text(json, overrides);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return error.what();
  }
  return "";
}

TEST(TrainConfigText, keeps_the_defaults_of_keys_that_are_not_there) {
  TrainConfig expected;
  expected.output = "out";
  expected.data.files = {"a.txt"};
  expected.model.layers = 3;
  EXPECT_EQ(parse_train_config_text(kRecipe), expected);
}

TEST(TrainConfigText, an_override_wins_over_the_recipe) {
  const auto config = parse_train_config_text(
      kRecipe, {"model.layers=4", "data.files=b.txt,c.txt", "optimizer.decay=linear", "optimizer.learning_rate=2e-3",
                "optimizer.logit_penalty=0", "model.ranks.gate=24", "output=elsewhere"});
  EXPECT_EQ(config.model.layers, 4);
  EXPECT_EQ(config.data.files, (std::vector<std::string>{"b.txt", "c.txt"}));
  EXPECT_EQ(config.optimizer.decay, "linear");
  EXPECT_EQ(config.optimizer.learning_rate, 2e-3);
  EXPECT_EQ(config.optimizer.logit_penalty, 0.0);
  EXPECT_EQ(config.model.ranks.gate, 24);
  EXPECT_EQ(config.output, "elsewhere");
}

TEST(TrainConfigText, a_models_configuration_may_be_an_object) {
  const auto config = parse_train_config_text(
      R"({"output": "out", "data": {"images": "photos"}, "model": {"family": "vrwkv", "config": {"depth": 2}}})");
  EXPECT_EQ(config.model.config, R"({"depth":2})");
  EXPECT_EQ(parse_train_config_text(to_json(config)), config);
  EXPECT_THAT(to_json(config), HasSubstr("\"depth\": 2"));
  EXPECT_EQ(parse_train_config_text(to_json(config), {R"(model.config={ "depth": 2 })"}), config);
}

TEST(TrainConfigText, lists_of_numbers_are_overridden_without_brackets) {
  const auto config = parse_train_config_text(kRecipe, {"data.caption_weights=0.5,0.25", "data.augment.crop_area="});
  EXPECT_EQ(config.data.caption_weights, (std::vector<double>{0.5, 0.25}));
  EXPECT_TRUE(config.data.augment.crop_area.empty());
}

TEST(TrainConfigText, printing_and_reading_gives_the_same_config) {
  auto config = parse_train_config_text(kRecipe, {"optimizer.logit_penalty=0.25", "seed=7", "data.held_out=0.1"});
  EXPECT_EQ(parse_train_config_text(to_json(config)), config);
}

struct Refusal {
  std::string json;
  std::string override_text;
  std::vector<std::string> message;  // parts of it
};

class RefusedRecipe : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedRecipe, names_the_key_and_what_it_accepts) {
  const auto& [json, override_text, parts] = GetParam();
  const auto message =
      message_of(json, override_text.empty() ? std::vector<std::string>{} : std::vector{override_text});
  for (const auto& part : parts) EXPECT_THAT(message, HasSubstr(part));
}

INSTANTIATE_TEST_SUITE_P(
    TrainConfigText, RefusedRecipe,
    testing::Values(Refusal{kRecipe, "model.layer=4", {"unknown key model.layer", "did you mean model.layers?"}},
                    Refusal{kRecipe, "learning_rate=1", {"unknown key learning_rate", "optimizer.learning_rate"}},
                    Refusal{kRecipe, "colour=red", {"unknown key colour", "the keys are output, seed", "export_dtype"}},
                    Refusal{kRecipe, "model=4", {"unknown key model"}},
                    Refusal{kRecipe, "steps", {"key=value", "steps"}},
                    Refusal{kRecipe, "steps=0", {"steps must be at least 1, got 0"}},
                    Refusal{kRecipe, "steps=1.5", {"steps must be a whole number, got 1.5"}},
                    Refusal{kRecipe, "steps=many", {"steps must be a whole number, got \"many\""}},
                    Refusal{kRecipe, "steps=99999999999999999999", {"steps must be a whole number"}},
                    Refusal{kRecipe, "seed=-1", {"seed must be at least 0, got -1"}},
                    Refusal{kRecipe, "seed=18446744073709551615", {"seed must be a whole number below 2^63"}},
                    Refusal{kRecipe, "data.held_out=0.7", {"data.held_out must be from 0 to 0.5, got 0.7"}},
                    Refusal{kRecipe, "optimizer.beta2=1", {"optimizer.beta2 must be from 0 to 1"}},
                    Refusal{kRecipe, "optimizer.learning_rate=nan", {"optimizer.learning_rate must be a number"}},
                    Refusal{
                        kRecipe, "optimizer.final_learning_rate=1", {"optimizer.final_learning_rate must be at most"}},
                    Refusal{kRecipe, "precision=fp8", {"precision must be one of fp32, bf16, got \"fp8\""}},
                    Refusal{kRecipe, "data.files=", {"data.files is missing"}},
                    Refusal{kRecipe, "data.caption_weights=0.5,x", {"data.caption_weights must be a list of numbers"}},
                    Refusal{kRecipe, "data.caption_weights=-1", {"data.caption_weights must be at least 0, got -1"}},
                    Refusal{kRecipe, "data.augment.crop_area=0.5", {"data.augment.crop_area must be", "two numbers"}},
                    Refusal{kRecipe, "data.augment.crop_aspect=2,1", {"crop_aspect must be", "the least and the most"}},
                    Refusal{kRecipe, "data.augment.flip=1.5", {"data.augment.flip must be from 0 to 1"}},
                    Refusal{kRecipe, "lora.rank=4", {"lora needs a model.checkpoint"}},
                    Refusal{kRecipe, "state_tuning=true", {"state_tuning needs a model.checkpoint"}},
                    Refusal{kRecipe, "state_tuning=yes", {"state_tuning must be true or false, got \"yes\""}},
                    Refusal{R"({"output": "out", "data": {"files": ["a.txt"]}, "model": {"checkpoint": "m.pth"},
                                "lora": {"rank": 4}, "state_tuning": true})",
                            "",
                            {"give one of them"}},
                    Refusal{R"({"data": {"files": ["a.txt"]}})", "", {"output is missing"}},
                    Refusal{R"({"data": {"files": "a.txt"}})", "", {"data.files must be a list of strings"}},
                    Refusal{R"({"model": {"layers": "6"}})", "", {"model.layers must be a whole number, got \"6\""}},
                    Refusal{R"({"steps": 1, "steps": 2})", "", {"\"steps\" stands twice"}},
                    Refusal{"{\n\"steps\": 1,\n}", "", {"not valid JSON at line 3"}},
                    Refusal{std::string(100'000, '['), "", {"nested deeper than 32 levels"}},
                    Refusal{"[]", "", {"must be a JSON object"}}));

TEST(TrainConfigText, first_difference_names_the_first_key_that_matters) {
  const auto config = parse_train_config_text(kRecipe);
  EXPECT_EQ(first_difference(config, config), "");
  EXPECT_EQ(first_difference(config, parse_train_config_text(kRecipe, {"model.width=128", "seed=3"})), "seed");
}

TEST(TrainConfigText, steps_threads_and_intervals_may_change_between_continuations) {
  const auto config = parse_train_config_text(kRecipe);
  const auto other = parse_train_config_text(
      kRecipe, {"steps=7", "threads=1", "log_every=1", "evaluate_every=5", "checkpoint_every=3", "export_dtype=fp32"});
  EXPECT_EQ(first_difference(config, other), "");
}

TEST(TrainConfigFile, a_missing_recipe_is_named) {
  EXPECT_THAT([] { parse_train_config("no/such/recipe.json"); },
              testing::ThrowsMessage<Error>(HasSubstr("no/such/recipe.json")));
}

}  // namespace
}  // namespace wkv::zoo
