// What is RWKV-4's own: its optional attentions, initial values, recipe, the layout of transformers, options.
#include "wkv/models/rwkv4.h"

#include <ATen/Context.h>
#include <gmock/gmock.h>

#include "models/model_cases.h"
#include "models/parameter_groups.h"

namespace wkv::test {
namespace {

// Published as vectors of the first sequence: state.<layer>.att_xx, aa, bb, pp, ffn_xx.
StateTensors rwkv4_state(const Fixture& fixture) {
  StateTensors state;
  for (int layer = 0; fixture.has("state." + std::to_string(layer) + ".pp"); ++layer) {
    const std::string number = std::to_string(layer), prefix = "state." + number + ".";
    state["att_x" + number] = fixture[prefix + "att_xx"].unsqueeze(0);
    state["ffn_x" + number] = fixture[prefix + "ffn_xx"].unsqueeze(0);
    state["wkv" + number] =
        at::stack({fixture[prefix + "aa"], fixture[prefix + "bb"], fixture[prefix + "pp"]}).unsqueeze(0);
  }
  return state;
}

const LanguageModelRows kRwkv4Rows({
    {"rwkv4", "rwkv4/l3c64", 5e-6, 5e-5, 1e-4, rwkv4_state},
    {"rwkv4", "rwkv4/datt96", 5e-6, 5e-5, 1e-4, rwkv4_state},
    {"rwkv4", "rwkv4/no_l2wrap", 5e-6, 5e-5, 0, rwkv4_state},
    {"rwkv4", "rwkv4/tiny_att", 5e-6, 5e-5, 1e-4},
    {"rwkv4", "rwkv4/preffn_headqk", 5e-6, 5e-5, 1e-4},
});

std::shared_ptr<models::RWKV4Impl> load_rwkv4(const std::string& fixture, const std::string& config = "{}") {
  const ScratchFolder folder;
  const auto weights = Fixture(test::data(fixture)).with_prefix("w.");
  zoo::write_safetensors(folder / "model.safetensors", {weights.begin(), weights.end()});
  return std::dynamic_pointer_cast<models::RWKV4Impl>(
      zoo::load((folder / "model.safetensors").string(), {.config = config}));
}

TEST(RWKV4, what_a_model_has_is_told_from_the_tensors) {
  EXPECT_EQ(load_rwkv4("rwkv4/datt96.safetensors")->options(),
            (models::RWKV4Options{.layers = 2, .width = 64, .attention_width = 96, .ffn_width = 160, .vocab = 97}));
  EXPECT_EQ(load_rwkv4("rwkv4/tiny_att.safetensors")->options(), (models::RWKV4Options{.layers = 3,
                                                                                       .width = 32,
                                                                                       .attention_width = 32,
                                                                                       .ffn_width = 128,
                                                                                       .vocab = 97,
                                                                                       .tiny_att_dim = 32,
                                                                                       .tiny_att_layer = 1,
                                                                                       .context = 16}));
  EXPECT_EQ(load_rwkv4("rwkv4/preffn_headqk.safetensors")->options(), (models::RWKV4Options{.layers = 3,
                                                                                            .width = 32,
                                                                                            .attention_width = 32,
                                                                                            .ffn_width = 128,
                                                                                            .vocab = 97,
                                                                                            .pre_ffn = true,
                                                                                            .head_qk = 32,
                                                                                            .context = 16}));
}

TEST(RWKV4, a_configuration_that_contradicts_the_tensors_is_refused) {
  for (const char* config :
       {R"({"version": "5"})", R"({"n_layer": 3})", R"({"dim_att": 64})", R"({"dim_ffn": 256})", R"({"pre_ffn": 1})",
        R"({"head_qk": 32})", R"({"tiny_att_dim": 32})", R"({"vocab_size": 98})", R"({"ln_eps": 1e-6})"}) {
    EXPECT_THROW(load_rwkv4("rwkv4/datt96.safetensors", config), Error) << config;
  }
  EXPECT_THROW(load_rwkv4("rwkv4/tiny_att.safetensors", R"({"tiny_att_layer": 2})"), Error);
}

TEST(RWKV4, its_own_configuration_describes_it) {
  for (const char* fixture :
       {"rwkv4/datt96.safetensors", "rwkv4/tiny_att.safetensors", "rwkv4/preffn_headqk.safetensors"})
    EXPECT_NO_THROW(load_rwkv4(fixture, load_rwkv4(fixture)->config_json())) << fixture;
}

TEST(RWKV4, masks_are_buffers_and_do_not_limit_the_text) {
  for (const auto& [fixture, mask] : std::map<std::string, std::string>{
           {"rwkv4/tiny_att.safetensors", "blocks.1.tiny_mask"}, {"rwkv4/preffn_headqk.safetensors", "copy_mask"}}) {
    const auto model = load_rwkv4(fixture);
    ASSERT_TRUE(model->named_buffers().contains(mask));
    EXPECT_TRUE(at::equal(model->named_buffers()[mask], at::tril(at::ones({16, 16}))));
    EXPECT_EQ(model->forward(at::zeros({1, 40}, at::kLong)).logits.size(1), 40);
  }
}

TEST(RWKV4, a_past_of_unequal_lengths_is_refused) {
  const auto model = load_rwkv4("rwkv4/tiny_att.safetensors");
  models::State state = model->forward(at::zeros({1, 4}, at::kLong)).state;
  for (auto& [name, tensor] : state.entries)
    if (name == "past_tiny_v") tensor = tensor.slice(1, 1);
  EXPECT_THROW(model->forward(at::zeros({1, 1}, at::kLong), state), Error);
}

class RWKV4Transformers : public testing::Test {
 protected:
  Fixture expected{test::data("rwkv4/hf_l3c64/expected.safetensors")};
  std::string folder = test::data("rwkv4/hf_l3c64").string();
};

TEST_F(RWKV4Transformers, a_folder_gives_the_published_logits_and_state) {
  const auto model = zoo::load_language_model(folder);
  EXPECT_EQ(model->family(), "rwkv4");
  const models::Output output = model->forward(expected["in.tokens"]);
  EXPECT_LT(absolute_error(output.logits, expected["out.logits"]), 5e-6);
  // Theirs: ffn_x, att_x, aa, bb, pp of all layers, [B, C, L] each.
  for (int64_t layer = 0; layer < 3; ++layer) {
    const auto theirs = [&](int i) { return expected["state." + std::to_string(i)].select(2, layer); };
    const auto* entry = &output.state.entries[static_cast<size_t>(layer) * 3];
    EXPECT_LT(relative_error(entry[0].tensor, theirs(1)), 2e-5);
    EXPECT_LT(relative_error(entry[1].tensor, at::stack({theirs(2), theirs(3), theirs(4)}, 1)), 2e-5);
    EXPECT_LT(relative_error(entry[2].tensor, theirs(0)), 2e-5);
  }
}

TEST_F(RWKV4Transformers, every_configuration_key_is_known_and_checked) {
  EXPECT_THAT(zoo::describe(folder).unknown_config_keys, testing::IsEmpty());
  for (const char* config : {R"({"model_type": "gpt2"})", R"({"hidden_size": 65})", R"({"tie_word_embeddings": true})",
                             R"({"layer_norm_epsilon": 1e-6})"}) {
    EXPECT_THROW(zoo::load(folder, {.config = config}), Error) << config;
  }
}

class RWKV4Initial : public testing::Test {
 protected:
  RWKV4Initial() {
    at::manual_seed(1);
    model = models::RWKV4(models::RWKV4Options{.layers = 3, .width = 64, .vocab = 50}).ptr();
    published = nlohmann::json::parse(std::ifstream(test::data("rwkv4/init_v4.json")));
  }
  std::shared_ptr<models::RWKV4Impl> model;
  nlohmann::json published;
};

TEST_F(RWKV4Initial, values_are_the_published_ones) {
  const auto parameters = model->named_parameters();
  const auto expected = Fixture(test::data("rwkv4/init_v4.safetensors")).with_prefix("");
  for (const auto& [name, value] : expected) {
    ASSERT_TRUE(parameters.contains(name)) << name;
    EXPECT_LT(absolute_error(parameters[name], value), 2e-6) << name;
  }
  // What is neither there nor random is zero.
  for (const auto& parameter : parameters) {
    if (expected.contains(parameter.key()) || published.at("random_matrices").contains(parameter.key())) continue;
    EXPECT_EQ(parameter.value().count_nonzero().item<int64_t>(), 0) << parameter.key();
  }
}

TEST_F(RWKV4Initial, random_matrices_have_the_published_norms) {
  for (const auto& [name, facts] : published.at("random_matrices").items()) {
    const at::Tensor matrix = model->named_parameters()[name];
    EXPECT_EQ(matrix.sizes().vec(), facts.at("shape").get<std::vector<int64_t>>()) << name;
    // The embedding is drawn uniformly; the others are orthogonal, whose norm is no accident.
    const double tolerance = name == "emb.weight" ? 0.05 : 1e-5;
    EXPECT_NEAR(matrix.norm().item<double>() / facts.at("fro").get<double>(), 1, tolerance) << name;
  }
  EXPECT_LE(model->named_parameters()["emb.weight"].abs().max().item<double>(), 6e-4);
}

TEST_F(RWKV4Initial, parameter_groups_are_the_published_recipe) {
  const auto& recipes = published.at("optimizer_groups");
  const NamedGroups ours = named_groups(*model);
  EXPECT_EQ(ours, named_groups(recipes.at("my_pile_stage=0,weight_decay=0.001").at("groups")));
  // Without weight decay the recipe differs in nothing else.
  NamedGroups undecayed = ours;
  for (auto& [name, group] : undecayed) group.second = false;
  EXPECT_EQ(undecayed, named_groups(recipes.at("my_pile_stage=0,weight_decay=0").at("groups")));
}

TEST(RWKV4Options, that_fit_no_model_are_refused) {
  for (const models::RWKV4Options& options :
       {models::RWKV4Options{.layers = 0}, models::RWKV4Options{.width = 0}, models::RWKV4Options{.vocab = 0},
        models::RWKV4Options{.attention_width = -1}, models::RWKV4Options{.tiny_att_dim = 8, .tiny_att_layer = 12},
        models::RWKV4Options{.head_qk = -1}}) {
    EXPECT_THROW(models::RWKV4(options, false), Error);
  }
}

TEST(RWKV4Parameters, of_the_published_sizes_are_counted_right) {
  const auto count = [](int64_t layers, int64_t width) {
    int64_t n = 0;
    for (const auto& p : models::RWKV4Impl({.layers = layers, .width = width}, false).parameters()) n += p.numel();
    return n;
  };
  EXPECT_EQ(count(12, 768), 169342464);
  EXPECT_EQ(count(24, 1024), 430397440);
}

}  // namespace
}  // namespace wkv::test
