# One suite that every backend of the registry has to pass (tests/conformance); it also writes docs/support.md.
if(NOT ACC_TESTS)
  return()
endif()
file(GLOB conformance_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/conformance/*.cc)
add_executable(conformance_test ${conformance_sources})
target_link_libraries(conformance_test PRIVATE acc_engine acc_backends acc_null acc_formats acc_models acc_text acc_wire acc_core GTest::gmock GTest::gtest)
target_compile_definitions(conformance_test PRIVATE ACC_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data" ACC_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
add_test(NAME conformance COMMAND conformance_test)
