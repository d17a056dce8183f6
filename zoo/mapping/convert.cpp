// `wkv convert`: one container, naming, dtype or family to another. Tensors are views of the source's mapping; each is
// converted when the writer comes to it, and let go of once it is written.
#include <ATen/Functions.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <span>
#include <utility>

#include "io/atomic_file.h"
#include "io/atomic_folder.h"
#include "io/lazy_tensor.h"
#include "io/pth_writer.h"
#include "io/safetensors_writer.h"
#include "io/sharded_writer.h"
#include "mapping/conversion.h"
#include "mapping/hub_layout.h"
#include "mapping/named_checkpoint.h"
#include "mapping/quantization.h"
#include "wkv/error.h"
#include "wkv/ops.h"

namespace wkv::zoo {
namespace {

// A new conversion adds its mapping/to_<family>.cpp and a row here.
std::span<const Conversion> conversions() {
  static const Conversion all[] = {to_multi_temporal, to_rrwkv};
  return all;
}

// The conversion to another family that the options ask for; null: the model stays what it is.
const Conversion* conversion_to(const std::string& target) {
  const std::vector<std::string> known = convert_targets();
  if (!target.empty() && std::ranges::find(known, target) == known.end()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("to: expected one of {}, got {}", fmt::join(known, ", "), target));
  }
  const auto found = std::ranges::find(conversions(), target, [](const Conversion& c) { return c.target; });
  return found == conversions().end() ? nullptr : &*found;
}

enum class Container { safetensors, pth, hub_folder };

// As the output's name and the options say, which must not contradict each other.
Container container_of(const std::string& output, const std::string& to) {
  const bool safetensors = output.ends_with(".safetensors"), pth = output.ends_with(".pth");
  if (to == "hf" && !safetensors && !pth) return Container::hub_folder;
  if (safetensors && to != "hf" && to != "upstream") return Container::safetensors;
  if (pth && to != "hf" && to != "safetensors") return Container::pth;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("{}: with {}, the output's name must {}", output, to.empty() ? "no target" : "target " + to,
                          to == "hf"            ? "be that of a folder"
                          : to == "upstream"    ? "end in .pth"
                          : to == "safetensors" ? "end in .safetensors"
                                                : "end in .safetensors or .pth"));
}

// A tensor of the model, under the module's name, which is the published one. format: see ops::pack_linear; empty: in
// floating point.
LazyTensor published_tensor(Checkpoint& checkpoint, const MatchedModel& matched, const std::string& name,
                            const at::Tensor& own, const std::string& format) {
  const auto found = matched.tensors.find(name);
  const TensorEntry* entry = found == matched.tensors.end() ? nullptr : found->second;
  LazyTensor tensor{name, entry ? entry->dtype : own.scalar_type(), own.sizes().vec(), {}};
  if (!format.empty()) {
    const bool is_packed = entry && checkpoint.is_quantized(*entry);
    const auto like = at::empty(own.sizes(), at::device(at::kMeta).dtype(at::kFloat));
    tensor.shape = is_packed ? entry->shape : ops::pack_linear(like, format).sizes().vec();
    tensor.dtype = at::kByte;
  } else if (entry && checkpoint.is_quantized(*entry)) {
    tensor.dtype = at::kFloat;
  }
  tensor.value = [&checkpoint, &matched, name, own, format, entry] {
    const at::Tensor value = format.empty() ? matched.value(name, own) : matched.quantized(name, own, format);
    if (entry) checkpoint.release(*entry);  // a view of it keeps what it needs
    return value;
  };
  return tensor;
}

std::vector<LazyTensor> published_tensors(Checkpoint& checkpoint, const MatchedModel& matched,
                                          const std::string& quantization) {
  std::map<std::string, std::string> formats;
  if (!quantization.empty()) formats = matched.model->matrix_formats(quantization);
  std::vector<LazyTensor> tensors;
  for (const auto& item : tensors_of(*matched.model)) {
    const auto format = formats.find(item.key());
    tensors.push_back(published_tensor(checkpoint, matched, item.key(), item.value(),
                                       format == formats.end() ? std::string() : format->second));
  }
  return tensors;
}

// What a file under the published names has beside the parameters: counters of the training, the second name of tied
// weights. The same file has it again when it is converted back.
void add_unused(Checkpoint& checkpoint, const MatchedModel& matched, std::vector<LazyTensor>& tensors) {
  std::set<const TensorEntry*> used;
  for (const auto& [name, entry] : matched.tensors) {
    const auto published = checkpoint.tensors().find(name);
    if (published == checkpoint.tensors().end() || published->second != entry) return;  // under names of its own
    used.insert(entry);
  }
  for (const auto& [name, entry] : checkpoint.tensors()) {
    if (used.contains(entry)) continue;
    tensors.push_back({name, entry->dtype, entry->shape, [&checkpoint, entry = entry] {
                         const at::Tensor value = as_tensor(*entry);
                         checkpoint.release(*entry);
                         return value;
                       }});
  }
}

// For what looks at the whole model. Most tensors are views, so that this takes no memory yet.
ModelTensors evaluated(std::vector<LazyTensor> tensors, std::map<std::string, std::string> metadata) {
  ModelTensors model{.tensors = {}, .metadata = std::move(metadata)};
  for (LazyTensor& tensor : tensors) model.tensors[tensor.name] = std::exchange(tensor.value, nullptr)();
  return model;
}

std::vector<LazyTensor> lazy_again(ModelTensors model) {
  std::vector<LazyTensor> tensors;
  for (auto& [name, tensor] : model.tensors) tensors.push_back(lazy(name, std::move(tensor)));
  return tensors;
}

int64_t elements_of(const ModelTensors& model) {
  int64_t sum = 0;
  for (const auto& [name, tensor] : model.tensors) sum += tensor.numel();
  return sum;
}

bool overflows(const at::Tensor& value, const at::Tensor& converted) {
  constexpr int64_t kChunk = 1 << 18;  // whose intermediate values stay in the cache
  const auto before = value.flatten().split(kChunk), after = converted.flatten().split(kChunk);
  for (size_t i = 0; i < before.size(); ++i)
    if (at::isinf(after[i]).logical_and_(at::isfinite(before[i])).any().item<bool>()) return true;
  return false;
}

// overflowed: gets the tensor's name when a finite value becomes an infinite one.
LazyTensor in_dtype(LazyTensor tensor, at::ScalarType dtype, std::vector<std::string>& overflowed) {
  if (!c10::isFloatingType(tensor.dtype) || tensor.dtype == dtype) return tensor;
  tensor.value = [value = std::move(tensor.value), name = tensor.name, dtype, &overflowed] {
    const at::Tensor before = value(), after = before.to(dtype);
    if (overflows(before, after)) overflowed.push_back(name);
    return after;
  };
  tensor.dtype = dtype;
  return tensor;
}

// As PyTorch calls the dtype of most of the weights; packages of the hub read it in config.json.
std::string hub_dtype(const std::vector<LazyTensor>& tensors) {
  const auto largest = std::ranges::max_element(tensors, {}, &LazyTensor::nbytes);
  switch (largest->dtype) {
    case at::kDouble:
      return "float64";
    case at::kHalf:
      return "float16";
    case at::kBFloat16:
      return "bfloat16";
    default:
      return "float32";
  }
}

void write_hub_folder(const std::string& output, nlohmann::ordered_json config, std::vector<LazyTensor> tensors,
                      uint64_t shard_bytes) {
  config["torch_dtype"] = hub_dtype(tensors);
  AtomicFolder folder(output);
  AtomicFile file(folder.path() / "config.json");
  file.write(config.dump(2) + "\n");
  file.commit();
  write_sharded(folder.path(), std::move(tensors), {{"format", "pt"}}, shard_bytes);
  folder.commit();
}

}  // namespace

std::vector<std::string> convert_targets() {
  std::vector<std::string> names = {"safetensors", "upstream", "hf"};
  for (const Conversion& conversion : conversions()) names.emplace_back(conversion.target);
  return names;
}

ConvertReport convert(const std::string& path, const std::string& output, const ConvertOptions& options) {
  const Conversion* conversion = conversion_to(options.to);
  const Container container = container_of(output, options.to);
  NamedCheckpoint named(path, options.config, options.progress);
  Checkpoint& checkpoint = named.checkpoint;
  const std::string quantization = wanted_quantization(checkpoint, options.quantize, options.dtype);
  if (!quantization.empty() && (conversion || container != Container::safetensors)) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("{}: only .safetensors files of the same model are made in {}: convert first, then quantise", path,
                    quantization));
  }
  const MatchedModel matched = named.match();
  ConvertReport report{.family = matched.family->name};
  if (conversion && report.family != conversion->source_family) {
    throw Error(ErrorCode::unsupported_format, fmt::format("{}: a model of family {}, but {} is made from {}", path,
                                                           report.family, options.to, conversion->source_family));
  }
  for (const auto& parameter : matched.model->named_parameters()) report.parameters += parameter.value().numel();

  std::vector<LazyTensor> tensors = published_tensors(checkpoint, matched, quantization);
  std::map<std::string, std::string> metadata = matched.model->metadata();
  nlohmann::ordered_json hub_config;
  if (conversion) {
    ModelTensors model = evaluated(std::move(tensors), metadata);
    const int64_t before = elements_of(model);
    conversion->convert(model, options, path);
    report.family = conversion->family;
    report.added_parameters = elements_of(model) - before;
    metadata = model.metadata;
    tensors = lazy_again(std::move(model));
  } else if (container == Container::hub_folder) {
    ModelTensors model = evaluated(std::move(tensors), metadata);
    hub_config = to_hub_layout(report.family, nlohmann::json::parse(matched.model->config_json()), model, path);
    tensors = lazy_again(std::move(model));
  } else if (quantization.empty()) {
    add_unused(checkpoint, matched, tensors);
  }
  if (options.dtype)
    for (LazyTensor& tensor : tensors) tensor = in_dtype(std::move(tensor), *options.dtype, report.overflowed);

  switch (container) {
    case Container::hub_folder:
      write_hub_folder(output, std::move(hub_config), std::move(tensors), options.shard_bytes);
      break;
    case Container::pth:
      write_pth(output, std::move(tensors));
      report.unwritten_metadata = metadata;
      break;
    case Container::safetensors:
      if (!quantization.empty()) metadata[kQuantizationKey] = quantization;
      metadata.insert({{"format", "pt"}, {"family", report.family}});
      write_safetensors(output, std::move(tensors), metadata);
      break;
  }
  return report;
}

}  // namespace wkv::zoo
