#include "accelerate/engine/hardware.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace accelerate {
namespace {

TEST(Hardware, PriorityIsTheDesigns) {
  std::vector<std::string_view> names;
  for (const HardwareName& hardware : hardware_names()) {
    names.push_back(hardware.name);
    EXPECT_FALSE(hardware.title.empty()) << hardware.name;
  }
  EXPECT_EQ(names, (std::vector<std::string_view>{"max", "cuda", "rocm", "mps", "mojo", "openvino", "qnn", "webgpu", "webnn", "cpu",
                                                  "torch"}));
}

TEST(Hardware, NoNameIsEverCalledAvailableFromOutside) {
  for (const HardwareName& hardware : hardware_names()) {
    const Verdict verdict = detect_unserved(hardware.name);
    EXPECT_EQ(verdict.hardware, hardware.name);
    EXPECT_NE(verdict.state, Verdict::State::kAvailable);
    EXPECT_FALSE(verdict.reason.empty()) << hardware.name;
    EXPECT_FALSE(verdict.how_to_get.empty()) << hardware.name;
  }
}

}  // namespace
}  // namespace accelerate
