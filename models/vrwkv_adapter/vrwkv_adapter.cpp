// VRWKV and VRWKV6 inside an adapter, as models of their own.
#include "wkv/models/vrwkv_adapter.h"

#include "vrwkv_adapter/dense_adapter.h"
#include "vrwkv_adapter/options.h"
#include "wkv/error.h"

namespace wkv::models {

struct VRWKVAdapterImpl::Parts : DenseAdapter {
  using DenseAdapter::DenseAdapter;
};

VRWKVAdapterImpl::VRWKVAdapterImpl(VRWKVAdapterOptions options, bool initialise)
    : options_(complete(std::move(options), "VRWKVAdapterOptions")) {
  torch::nn::Module& owner =
      options_.backbone_prefix ? *register_module("backbone", std::make_shared<torch::nn::Module>()) : *this;
  parts_ = std::make_shared<Parts>(owner, options_);
  if (initialise) parts_->initialise();
}

VRWKVAdapterImpl::~VRWKVAdapterImpl() = default;

std::string VRWKVAdapterImpl::family() const {
  return std::holds_alternative<VRWKV6Options>(options_.backbone) ? "vrwkv6_adapter" : "vrwkv_adapter";
}

std::string VRWKVAdapterImpl::config_json() const { return adapter_config(options_).dump(); }

std::map<std::string, std::string> VRWKVAdapterImpl::metadata() const { return {{kConfigMetadata, config_json()}}; }

at::Tensor VRWKVAdapterImpl::logits_of(const at::Tensor&) {
  throw Error(ErrorCode::invalid_argument, family() + ": has features, and no logits");
}

std::vector<FeatureMap> VRWKVAdapterImpl::features_of(const at::Tensor& images) { return parts_->features(images); }

}  // namespace wkv::models
