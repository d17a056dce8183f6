// Checkpoints of RWKV-4 with several perspectives: its names, mixes [P, 1, 1, C], and convert3.
#include "wkv/models/multi_temporal_rwkv.h"

#include "mapping/family.h"
#include "mapping/rwkv4.h"

namespace wkv::zoo {
namespace {

bool is_multi_temporal_rwkv(const Checkpoint& file) {
  return file.has("convert3.weight") && file.has(rwkv4_first_time_mix(file) + "time_first");
}

std::shared_ptr<models::Model> build_multi_temporal_rwkv(const Checkpoint& file, Config& config) {
  models::MultiTemporalRWKVOptions o;
  o.base = rwkv4_options(file, config);
  o.perspectives = file.shape("convert3.weight", 2)[0];
  config.expect("n_persp", o.perspectives);
  config.expect("model_type", {o.base.pre_ffn ? "RWKV-ffnPre" : "RWKV"});
  return std::make_shared<models::MultiTemporalRWKVImpl>(o, /*initialise=*/false);
}

std::string multi_temporal_rwkv_name(const std::string& name) { return name; }

}  // namespace

const Family multi_temporal_rwkv_family = {"multi_temporal_rwkv", is_multi_temporal_rwkv, build_multi_temporal_rwkv,
                                           multi_temporal_rwkv_name};

}  // namespace wkv::zoo
