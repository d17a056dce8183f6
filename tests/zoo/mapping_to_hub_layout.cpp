// What we write in other packages' layouts has their names and values and comes back bit for bit; what no layout holds
// is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hub_folder.h"
#include "mapping/hub_layout.h"

namespace wkv::test {
namespace {

using testing::HasSubstr;

// A model's parameters; of a family without buffers, all that its checkpoint has.
Tensors parameters_of(const models::Model& model) {
  Tensors tensors;
  for (const auto& parameter : model.named_parameters()) tensors[parameter.key()] = parameter.value().detach();
  return tensors;
}

void expect_the_same(const Tensors& found, const Tensors& expected) {
  EXPECT_EQ(found.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    ASSERT_TRUE(found.contains(name)) << name;
    EXPECT_EQ(found.at(name).sizes(), tensor.sizes()) << name;
    EXPECT_TRUE(at::equal(found.at(name), tensor)) << name;
  }
}

// {family, folder that the package wrote}
class HubFolderWritten : public testing::TestWithParam<std::pair<std::string, std::string>> {};

TEST_P(HubFolderWritten, again_has_the_names_values_and_configuration_of_the_package) {
  const auto& [family, name] = GetParam();
  const HubFolder theirs(name);
  const auto model = zoo::load(test::data(name).string());
  zoo::ModelTensors tensors{parameters_of(*model), {}};
  const Json config = zoo::to_hub_layout(family, nlohmann::json::parse(model->config_json()), tensors, name);
  expect_the_same(tensors.tensors, theirs.tensors);
  for (const auto& [key, value] : config.items()) {
    if (key.ends_with("_token_id")) continue;  // which are the vocabulary's matter
    EXPECT_EQ(value, theirs.config.at(key)) << key;
  }
}

INSTANTIATE_TEST_SUITE_P(HubLayout, HubFolderWritten,
                         testing::Values(std::pair("rwkv4", "rwkv4/hf_l3c64"),
                                         std::pair("rwkv6", "hub_layouts/rwkv6_fla"),
                                         std::pair("rwkv7", "hub_layouts/rwkv7_fla")),
                         [](const auto& row) { return row.param.first; });

// A published checkpoint: its weights, and what shapes don't tell.
struct Published {
  Published(const std::string& fixture, const std::string& config_json)
      : weights(Fixture(test::golden(fixture + ".safetensors")).with_prefix("w.")), config(config_json) {
    std::erase_if(weights, [](const auto& tensor) { return tensor.first.ends_with("time_state"); });
  }
  std::string write() const {
    zoo::write_safetensors(folder / "published.safetensors", {weights.begin(), weights.end()});
    return (folder / "published.safetensors").string();
  }
  std::shared_ptr<models::Model> load() const { return zoo::load(write(), {.config = config}); }
  // The model in its package's layout. Throws wkv::Error.
  void write_to(HubFolder& hub) const {
    const auto model = load();
    zoo::ModelTensors tensors{parameters_of(*model), {}};
    hub.config = zoo::to_hub_layout(model->family(), nlohmann::json::parse(model->config_json()), tensors, "model");
    hub.tensors = tensors.tensors;
  }

  Tensors weights;
  std::string config;
  ScratchFolder folder;
};

void expect_the_same_model_from_the_hub(const Published& published) {
  HubFolder hub;
  published.write_to(hub);
  const auto before = published.load(), after = zoo::load(hub.write());
  const auto json = [](const models::Model& model) { return nlohmann::json::parse(model.config_json()); };
  EXPECT_EQ(json(*after), json(*before));
  Tensors expected = parameters_of(*before);
  for (const char* unread : {"v0", "v1", "v2"}) expected.erase(std::string("blocks.0.att.") + unread);
  expect_the_same(parameters_of(*after), expected);
}

TEST(HubLayout, rwkv4_comes_back_bit_for_bit) { expect_the_same_model_from_the_hub({"rwkv4/datt96", "{}"}); }

TEST(HubLayout, rwkv6_comes_back_bit_for_bit_whatever_its_norm) {
  for (const char* config : {"{}", R"({"ln_x_eps": 1e-5})", R"({"head_size_divisor": 2})"})
    expect_the_same_model_from_the_hub({"rwkv6/state-tuning", config});
}

TEST(HubLayout, rwkv7_comes_back_bit_for_bit_but_for_what_nothing_reads) {
  expect_the_same_model_from_the_hub({"rwkv7/tiny", R"({"ln_x_eps": 16e-5})"});
}

TEST(HubLayout, based_comes_back_bit_for_bit) {
  const std::string fixture = "based/tiny_f8_w6";
  expect_the_same_model_from_the_hub({fixture, test::data(fixture + ".json").string()});
}

TEST(HubLayout, rwkv6_without_its_divisor_still_gives_the_logits) {
  const Published published("rwkv6/state-tuning", "{}");
  HubFolder hub;
  published.write_to(hub);
  EXPECT_EQ(hub.config.at("head_size_divisor"), 8);
  hub.config.erase("head_size_divisor");
  EXPECT_LT(absolute_error(some_logits(hub.write()), some_logits(published.write())), 2e-6);
}

TEST(HubLayout, large_tensors_are_views_of_the_models) {
  const auto model = Published("rwkv7/tiny", R"({"ln_x_eps": 16e-5})").load();
  zoo::ModelTensors tensors{parameters_of(*model), {}};
  const at::Tensor embedding = tensors.tensors.at("emb.weight"), low_rank = tensors.tensors.at("blocks.0.att.w1");
  zoo::to_hub_layout("rwkv7", nlohmann::json::parse(model->config_json()), tensors, "model");
  EXPECT_EQ(tensors.tensors.at("model.embeddings.weight").data_ptr(), embedding.data_ptr());
  EXPECT_EQ(tensors.tensors.at("model.layers.0.attn.w_lora.lora.0.weight").data_ptr(), low_rank.data_ptr());
}

struct NotOnTheHub {
  std::string fixture, config, message;
};
std::ostream& operator<<(std::ostream& out, const NotOnTheHub& row) { return out << row.fixture; }

class HubLayoutRefuses : public testing::TestWithParam<NotOnTheHub> {};

TEST_P(HubLayoutRefuses, what_no_package_holds) {
  const auto& [fixture, config, message] = GetParam();
  HubFolder hub;
  try {
    Published(fixture, config).write_to(hub);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::unsupported_format);
    EXPECT_THAT(e.what(), HasSubstr(message));
  }
}

INSTANTIATE_TEST_SUITE_P(
    HubLayout, HubLayoutRefuses,
    testing::Values(NotOnTheHub{"rwkv4/tiny_att", "{}", "tiny_k.weight: the hub's layout has no such tensor"},
                    NotOnTheHub{"rwkv5/v52_div1", R"({"head_size_divisor": 1})", "no package on the hub"},
                    NotOnTheHub{"rwkv6/x060b", "{}", "version x060b"},
                    NotOnTheHub{"rwkv6/state-tuning", R"({"train_type": "states"})", "time_state: the hub's layout"},
                    NotOnTheHub{"rwkv6/state-tuning", R"({"ln_x_eps": 3e-5})", "ln_x_eps is 3e-05"},
                    NotOnTheHub{"rwkv7/tiny", "{}", "ln_x_eps is 0.00064"}));

}  // namespace
}  // namespace wkv::test
