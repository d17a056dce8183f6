#include "op_case.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <random>

namespace wkv::test {
namespace {

int comparisons = 0, failures = 0;

const char* name_of(IoType io) {
  constexpr const char* kNames[kIoTypes] = {"float", "double", "bfloat16", "half"};
  return kNames[static_cast<int>(io)];
}

// What rounding may cost.
double tolerance_of(IoType type) {
  constexpr double kTolerances[kIoTypes] = {2e-6, 1e-13, 4.5e-3, 6e-4};
  return kTolerances[static_cast<int>(type)];
}

// All of an array's places where there are few, else some of them.
std::vector<int64_t> some_places(int64_t size) {
  constexpr int64_t kEnough = 32;
  std::vector<int64_t> places(size);
  std::iota(places.begin(), places.end(), 0);
  static std::mt19937_64 generator(1);
  std::shuffle(places.begin(), places.end(), generator);
  places.resize(std::min(size, kEnough));
  return places;
}

}  // namespace

void expect_close(const std::string& what, const Doubles& found, const Doubles& expected, double tolerance) {
  double largest = 0, error = found.size() == expected.size() ? 0 : NAN;
  for (size_t i = 0; i < std::min(found.size(), expected.size()); ++i) {
    const double difference = std::abs(found[i] - expected[i]);
    largest = std::max(largest, std::abs(expected[i]));
    if (difference > error || std::isnan(difference)) error = difference;  // a NaN stays
  }
  ++comparisons;
  if (error <= tolerance * largest) return;
  ++failures;
  std::printf("FAIL %s: error %.1e, at most %.1e\n", what.c_str(), error / largest, tolerance);
}

bool all_good() {
  std::printf("%d comparisons, %d failed\n", comparisons, failures);
  return comparisons > 0 && failures == 0;
}

void check(const OpCase& op) {
  const std::string name = op.name + " " + name_of(op.io) + " ";
  Arrays inputs;
  std::vector<Doubles> x;
  for (const OpCase::Input& input : op.inputs) {
    x.push_back(inputs.emplace_back(input.type, input.values).values());
  }
  const std::vector<Doubles> expected = op.reference(x);
  const Arrays found = op.forward(inputs);
  for (size_t i = 0; i < found.size(); ++i) {
    expect_close(name + op.outputs[i].name, found[i].values(), expected[i], tolerance_of(op.outputs[i].type));
  }
  if (!op.backward) return;

  Arrays grad_outputs;
  std::vector<Doubles> g;
  for (size_t i = 0; i < op.outputs.size(); ++i) {
    g.push_back(grad_outputs.emplace_back(op.outputs[i].type, normal(expected[i].size(), 1)).values());
  }
  const auto loss = [&] {
    const std::vector<Doubles> y = op.reference(x);
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum = std::inner_product(y[i].begin(), y[i].end(), g[i].begin(), sum);
    return sum;
  };
  const Arrays gradients = op.backward(inputs, grad_outputs);
  for (size_t i = 0; i < x.size(); ++i) {
    const Doubles gradient = gradients[i].values();
    if (gradient.empty()) continue;
    Doubles compared = gradient, differences(gradient.size());
    for (double& value : compared) value *= 0;  // a NaN, which nobody wrote, stays
    for (const int64_t place : some_places(static_cast<int64_t>(x[i].size()))) {
      constexpr double kStep = 1e-5;
      const double middle = x[i][place];
      x[i][place] = middle + kStep;
      const double above = loss();
      x[i][place] = middle - kStep;
      differences[place] = (above - loss()) / (2 * kStep);
      x[i][place] = middle;
      compared[place] = gradient[place];
    }
    constexpr double kOfDifferences = 3e-8;  // what central differences in double are good for
    expect_close(name + "gradient of " + op.inputs[i].name, compared, differences,
                 std::max(kOfDifferences, tolerance_of(gradients[i].type())));
  }
}

}  // namespace wkv::test
