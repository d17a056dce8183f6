// What the runner shows of a kernel: missing barriers, shared memory that nobody wrote, copies not waited for,
// deadlocks.
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <stdexcept>
#include <vector>

#include "core/cuda/platform.cuh"

namespace {

using Kernel = std::function<void(float* out)>;

// The kernel's `out`, one element a thread of a block.
std::vector<float> run_block(unsigned threads, uint64_t seed, const Kernel& kernel) {
  std::vector<float> out(threads, -1);
  cuda_on_host::run(1, threads, 4096, seed, [&] { kernel(out.data()); });
  return out;
}
std::set<std::vector<float>> results_of_seeds(unsigned threads, const Kernel& kernel) {
  std::set<std::vector<float>> results;
  for (uint64_t seed = 0; seed < 5; ++seed) results.insert(run_block(threads, seed, kernel));
  return results;
}

float* shared_floats() { return reinterpret_cast<float*>(wkv::cuda::shared_memory()); }

// Each thread hands its number to the next one, twice.
void hand_on(float* out, bool second_barrier) {
  const unsigned thread = threadIdx.x, next = (thread + 1) % blockDim.x;
  for (int round = 1; round <= 2; ++round) {
    shared_floats()[thread] = static_cast<float>(thread) * static_cast<float>(round);
    __syncthreads();
    out[thread] += shared_floats()[next];
    if (second_barrier) __syncthreads();
  }
}

TEST(Runner, blocks_and_threads_have_their_indices) {
  std::vector<int> calls(2 * 3 * 64);
  cuda_on_host::run(dim3(2, 3), dim3(32, 2), 0, 0, [&] {
    EXPECT_EQ(gridDim.y, 3u);
    ++calls[(blockIdx.y * gridDim.x + blockIdx.x) * 64 + threadIdx.y * blockDim.x + threadIdx.x];
  });
  EXPECT_EQ(calls, std::vector<int>(calls.size(), 1));
}

TEST(Runner, a_kernel_with_its_barriers_does_not_depend_on_the_seed) {
  EXPECT_EQ(results_of_seeds(64, [](float* out) { hand_on(out, true); }).size(), 1u);
}

TEST(Runner, a_missing_barrier_depends_on_the_seed) {
  EXPECT_GT(results_of_seeds(64, [](float* out) { hand_on(out, false); }).size(), 1u);
}

TEST(Runner, a_missing_barrier_of_a_warp_depends_on_the_seed) {
  const auto results = results_of_seeds(32, [](float* out) {
    const unsigned lane = threadIdx.x;
    for (int round = 1; round <= 2; ++round) {
      shared_floats()[lane] = static_cast<float>(lane) * static_cast<float>(round);
      __syncwarp();
      out[lane] += shared_floats()[31 - lane];
    }
  });
  EXPECT_GT(results.size(), 1u);
}

TEST(Runner, shared_memory_is_nan_before_it_is_written) {
  for (const float x : run_block(32, 0, [](float* out) { out[threadIdx.x] = shared_floats()[threadIdx.x]; })) {
    EXPECT_TRUE(std::isnan(x));
  }
}

TEST(Runner, shared_memory_is_nan_again_in_the_next_block) {
  int nans = 0;
  cuda_on_host::run(3, 32, 128, 0, [&] {
    nans += std::isnan(shared_floats()[threadIdx.x]);
    shared_floats()[threadIdx.x] = 1;
  });
  EXPECT_EQ(nans, 3 * 32);
}

// Copies four floats a thread in two groups and reads them when only `groups_left` may be under way.
template <int groups_left>
std::vector<float> sums_of_copies() {
  alignas(16) static float from[32 * 8];
  for (int i = 0; i < 32 * 8; ++i) from[i] = 1;
  return run_block(32, 0, [](float* out) {
    float* const mine = shared_floats() + threadIdx.x * 8;
    for (int group = 0; group < 2; ++group) {
      wkv::cuda::copy_async_16(mine + 4 * group, from + threadIdx.x * 8 + 4 * group);
      wkv::cuda::commit_copies();
    }
    wkv::cuda::wait_for_copies<groups_left>();
    out[threadIdx.x] = mine[0] + mine[4];
  });
}

TEST(Runner, a_copy_is_there_when_it_was_waited_for) { EXPECT_EQ(sums_of_copies<0>()[5], 2); }

TEST(Runner, a_copy_that_was_not_waited_for_is_nan) { EXPECT_TRUE(std::isnan(sums_of_copies<1>()[5])); }

TEST(Runner, shuffles_are_those_of_the_gpu) {
  const auto lane = [] { return static_cast<int>(threadIdx.x % 32); };
  const auto down = run_block(32, 1, [&](float* out) {
    out[lane()] = static_cast<float>(__shfl_down_sync(~0u, lane(), 3) + 100 * __shfl_up_sync(~0u, lane(), 2, 8));
  });
  EXPECT_EQ(down[4], 7 + 100 * 2);
  EXPECT_EQ(down[30], 30 + 100 * 28);
  EXPECT_EQ(down[17], 20 + 100 * 17);
  const auto sums =
      run_block(64, 1, [](float* out) { out[threadIdx.x] = wkv::cuda::warp_sum<8>(static_cast<float>(threadIdx.x)); });
  EXPECT_EQ(sums[0], 28);
  EXPECT_EQ(sums[41], 8 * 40 + 28);
}

TEST(Runner, threads_at_different_barriers_are_an_error) {
  EXPECT_THROW(run_block(64, 0,
                         [](float*) {
                           if (threadIdx.x < 32) __syncthreads();
                           __shfl_xor_sync(~0u, 1, threadIdx.x == 40 ? 1 : 0);
                           if (threadIdx.x == 40) __syncwarp();
                           __syncthreads();
                         }),
               std::runtime_error);
}

TEST(Runner, an_exchange_in_a_warp_that_a_lane_left_is_an_error) {
  EXPECT_THROW(run_block(32, 0,
                         [](float* out) {
                           if (threadIdx.x == 7) return;
                           __syncwarp();
                           out[threadIdx.x] = __shfl_xor_sync(~0u, 1.0f, 1);
                         }),
               std::logic_error);
}

TEST(Runner, a_block_is_whole_warps) {
  EXPECT_THROW(run_block(33, 0, [](float*) {}), std::logic_error);
  EXPECT_THROW(run_block(1056, 0, [](float*) {}), std::logic_error);
}

TEST(Runner, what_a_thread_throws_arrives) {
  EXPECT_THROW(run_block(32, 0,
                         [](float*) {
                           __syncthreads();
                           if (threadIdx.x == 3) throw std::out_of_range("3");
                           __syncthreads();
                         }),
               std::out_of_range);
  EXPECT_EQ(run_block(32, 0, [](float* out) { out[threadIdx.x] = 1; })[31], 1);
}

}  // namespace
