#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <map>

#include "support/data.h"
#include "support/fixture.h"
#include "train/contrastive_task.h"
#include "train/trainer.h"
#include "train_pictures.h"
#include "wkv/error.h"
#include "wkv/models/contrastive_loss.h"
#include "wkv/zoo/load.h"

namespace wkv::zoo {
namespace {

using testing::HasSubstr;

constexpr const char* kSmallClip =
    R"({"input_size": 16, "image_patch_size": 8, "image_depth": 2, "image_num_heads": 2, "image_hidden_rate": 2,
        "n_embd": 32, "n_layer": 2, "head_size": 16, "ctx_len": 12})";

// Twelve pictures of three colours, with two captions each.
class ContrastiveTraining : public testing::Test {
 protected:
  ContrastiveTraining() {
    test::write_captions(folder_.path(), 4);
    config.model.family = "rwkv_clip";
    config.model.config = kSmallClip;
    config.data.images = folder_.path().string();
    config.data.captions = config.data.held_out_captions = (folder_ / "captions.json").string();
    config.data.augment = {.flip = 0.5};
    config.optimizer.learning_rate = 3e-3;
    config.optimizer.decay = "one_cycle";
    config.batch = 6;
    config.steps = 60;
  }
  std::unique_ptr<Task> make(uint64_t model_seed = 1) const {
    at::manual_seed(model_seed);
    auto task = make_task(config, {});
    task->model().train();
    return task;
  }
  test::ScratchFolder folder_;
  TrainConfig config;
};

std::map<std::string, double> measurements(Task& task) {
  std::map<std::string, double> values;
  for (const auto& [name, value] : task.evaluate()) values[name] = value;
  return values;
}

TEST_F(ContrastiveTraining, learns_what_colours_are_called) {
  const auto task = make();
  Trainer trainer(*task, config);
  double first = 0, last = 0;
  for (int64_t i = 0; i < config.steps; ++i) {
    const double loss = trainer.step().loss;
    (i < 10 ? first : last) += loss / (i < 10 ? 10 : static_cast<double>(config.steps - 10));
  }
  EXPECT_LT(last, first);
  const auto found = measurements(*task);
  EXPECT_NEAR(found.at("held_out_zero_shot_chance"), 1.0 / 3, 1e-12);
  EXPECT_GT(found.at("held_out_zero_shot_accuracy"), 0.9);
  EXPECT_GE(found.at("held_out_image_to_text_recall_at_5"), found.at("held_out_image_to_text_recall_at_1"));
}

TEST_F(ContrastiveTraining, continued_is_bit_for_bit_the_run_that_never_stopped) {
  config.data.augment.crop_area = {0.6, 1.0};
  const auto whole = make();
  Trainer trainer(*whole, config);
  for (int i = 0; i < 5; ++i) trainer.step();
  const auto first = make();
  Trainer first_trainer(*first, config);
  for (int i = 0; i < 3; ++i) first_trainer.step();
  std::filesystem::create_directories(folder_ / "checkpoint");
  first_trainer.save(folder_ / "checkpoint", first_trainer.gather(), {});
  const auto second = make(/*model_seed=*/9);
  Trainer second_trainer(*second, config);
  second_trainer.restore(folder_ / "checkpoint");
  for (int i = 3; i < 5; ++i) second_trainer.step();
  const auto expected = named_tensors(whole->model()), found = named_tensors(second->model());
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_TRUE(at::equal(expected[i].second, found[i].second)) << expected[i].first;
}

TEST_F(ContrastiveTraining, in_bf16_has_nearly_the_same_loss) {
  const double exact = make()->loss(0).item<double>();
  config.precision = "bf16";
  const auto task = make();
  EXPECT_NEAR(Trainer(*task, config).step().loss, exact, 0.05);
}

TEST_F(ContrastiveTraining, the_scale_stays_between_1_and_100) {
  const auto task = make();
  const at::Tensor scale = task->model().named_parameters()["logit_scale"];
  for (const auto& [value, kept] : std::map<double, double>{{9.0, std::log(100)}, {-1.0, 0.0}, {2.5, 2.5}}) {
    {
      const at::NoGradGuard no_grad;
      scale.fill_(value);
    }
    task->constrain_parameters();
    EXPECT_NEAR(scale.item<double>(), kept, 1e-6);
  }
}

struct ClipMistake {
  void (*make)(TrainConfig& config);
  const char* message;
};

class RefusedContrast : public ContrastiveTraining, public testing::WithParamInterface<ClipMistake> {};

TEST_P(RefusedContrast, is_told_with_its_key) {
  GetParam().make(config);
  EXPECT_THAT([&] { make(); }, testing::ThrowsMessage<Error>(HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    All, RefusedContrast,
    testing::Values(ClipMistake{[](TrainConfig& c) { c.data.captions = ""; }, "data.captions is missing"},
                    ClipMistake{[](TrainConfig& c) {
                                  c.data.held_out_images = "photos";
                                  c.data.held_out_captions = "";
                                },
                                "data.held_out_captions is missing"},
                    ClipMistake{[](TrainConfig& c) { c.accumulate = 2; }, "accumulate must be 1"},
                    ClipMistake{[](TrainConfig& c) { c.batch = 1; }, "batch must be at least 2"},
                    ClipMistake{[](TrainConfig& c) { c.data.pipeline = "mm224"; }, "data.pipeline must be clip16"},
                    ClipMistake{[](TrainConfig& c) {
                                  c.data.labels = {"a", "b"};
                                },
                                "data.labels is not for rwkv_clip"},
                    ClipMistake{[](TrainConfig& c) { c.optimizer.label_smoothing = 0.1; },
                                "optimizer.label_smoothing is not for rwkv_clip"},
                    ClipMistake{[](TrainConfig& c) { c.model.config = R"({"vocab_size": 49408})"; },
                                "vocab_size is 49408, but the tokenizer's is 256"},
                    ClipMistake{[](TrainConfig& c) { c.model.config = R"({"n_embd": 64, "image_embed_dims": 32})"; },
                                "image_embed_dims is 32, but n_embd is 64"}));

// Gives the trainer the batches of the published code's run.
class PublishedBatches : public ContrastiveTask {
 public:
  PublishedBatches(const std::shared_ptr<models::RWKVCLIPImpl>& model, const test::Fixture& fixture,
                   ContrastiveData data, const TrainConfig& config)
      : ContrastiveTask(model, std::move(data), config), model_(model), fixture_(fixture) {}
  at::Tensor loss(int64_t index) override {
    const std::string number = std::to_string(index);
    const auto out = model_->forward(fixture_["in.image." + number], fixture_["in.text." + number]);
    return models::contrastive_loss(out.image_features, out.text_features, out.logit_scale);
  }

 private:
  std::shared_ptr<models::RWKVCLIPImpl> model_;
  const test::Fixture& fixture_;
};

TEST_F(ContrastiveTraining, follows_the_published_steps) {
  const auto file = test::golden("rwkv_clip/train_steps.safetensors");
  if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not there";
  const test::Fixture fixture(file);
  const auto published = nlohmann::json::parse(std::ifstream(test::golden("rwkv_clip/train_steps.json")));
  const auto start = fixture.with_prefix("w0.");
  write_safetensors(folder_ / "start.safetensors", {start.begin(), start.end()});
  const auto model = std::dynamic_pointer_cast<models::RWKVCLIPImpl>(
      load((folder_ / "start.safetensors").string(), {.config = published.at("config").dump()}));
  model->train();

  config.steps = published.at("schedule").at("total_steps");
  const double peak = published.at("max_lr");
  config.optimizer = {.learning_rate = peak,
                      .final_learning_rate = peak / 25 / published.at("schedule").at("final_div_factor").get<double>(),
                      .decay = "one_cycle",
                      .warmup = config.steps / 10,
                      .beta2 = 0.98,
                      .eps = 1e-8,
                      .weight_decay = published.at("weight_decay"),
                      .clip = 1.0};
  PublishedBatches task(model, fixture, {nullptr, read_training_captions(config.data, "clip16"), std::nullopt}, config);
  Trainer trainer(task, config);
  for (const auto& expected : published.at("steps")) {
    const auto step = trainer.step();
    EXPECT_NEAR(step.learning_rate / expected.at("lr").get<double>(), 1, 1e-12);
    EXPECT_NEAR(step.loss / expected.at("loss").get<double>(), 1, 1e-5);
    EXPECT_NEAR(step.gradient_norm / expected.at("grad_norm_before_clip").get<double>(), 1, 1e-4);
    EXPECT_NEAR(model->named_parameters()["logit_scale"].item<double>(), expected.at("logit_scale_after"), 1e-5);
  }
  const auto parameters = model->named_parameters();
  for (const auto& [name, end] : fixture.with_prefix("w_end."))
    EXPECT_LT(test::relative_error(parameters[name] - start.at(name), end - start.at(name)), 1e-3) << name;
}

}  // namespace
}  // namespace wkv::zoo
