# How the project's own targets are declared. See CMakeLists.txt for their use.

set(ORCH_LIBRARIES "" CACHE INTERNAL "every orch_library target")
set(ORCH_FOLDERS "" CACHE INTERNAL "every folder declared with orch_library")
set(ORCH_UNIT_TESTS "" CACHE INTERNAL "every unit test executable")
set(ORCH_GENERATED "${CMAKE_BINARY_DIR}/generated")

# orch_library(FOLDER [SMALL] [DEPS TARGETS...] [TEST_DEPS TARGETS...])
#
# Declares target orch_<FOLDER with _ for /> from src/FOLDER/*.cpp (not deeper), and, if there are
# tests/unit/FOLDER/*.cpp, the test executable unit_<...> from those. DEPS are what its headers and
# sources include: folders of ours by path, libraries as orch::NAME. TEST_DEPS are linked by the tests
# in addition. SMALL: what mostly waits for others is compiled for size. A folder without .cpp files is an interface library, so others can already link it.
# The DEPS written here are also what scripts/check-layers.sh holds every #include against.
function(orch_library folder)
  cmake_parse_arguments(ARG "SMALL" "" "DEPS;TEST_DEPS" ${ARGN})
  string(REPLACE "/" "_" flat "${folder}")
  set(target orch_${flat})
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/src/${folder}/*.cpp")
  if(folder STREQUAL "base")
    list(APPEND sources "${ORCH_GENERATED}/version.cpp")
  endif()
  orch_chunks(sources ${target} "${CMAKE_SOURCE_DIR}/src" ${sources})
  orch_link_names(links ${ARG_DEPS})
  if(sources)
    add_library(${target} STATIC ${sources})
    target_link_libraries(${target} PUBLIC ${links} PRIVATE orch_warnings)
    target_include_directories(${target} PUBLIC "${CMAKE_SOURCE_DIR}/src" "${ORCH_GENERATED}/include")
    if(ARG_SMALL AND CMAKE_BUILD_TYPE STREQUAL "Release")
      target_compile_options(${target} PRIVATE -Os)
    endif()
  else()
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE ${links})
    target_include_directories(${target} INTERFACE "${CMAKE_SOURCE_DIR}/src" "${ORCH_GENERATED}/include")
  endif()
  set(ORCH_LIBRARIES "${ORCH_LIBRARIES};${target}" CACHE INTERNAL "")
  set(ORCH_FOLDERS "${ORCH_FOLDERS};${folder}" CACHE INTERNAL "")

  file(GLOB tests CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/tests/unit/${folder}/*.cpp")
  if(tests)
    orch_link_names(test_links ${ARG_TEST_DEPS})
    orch_test(unit_${flat} SOURCES ${tests} DEPS ${target} ${test_links})
    set(ORCH_UNIT_TESTS "${ORCH_UNIT_TESTS};unit_${flat}" CACHE INTERNAL "")
  endif()
endfunction()

# orch_chunks(OUT NAME ROOT FILES...): what to compile for FILES: with ORCH_UNITY a few files that include
# those below ROOT, which takes a third of the time, else FILES themselves.
function(orch_chunks out name root)
  set(files ${ARGN})
  if(ORCH_UNITY)
    set(below "")
    foreach(file ${files})
      cmake_path(ABSOLUTE_PATH file BASE_DIRECTORY "${CMAKE_SOURCE_DIR}")
      cmake_path(IS_PREFIX root "${file}" inside)
      if(inside)
        cmake_path(RELATIVE_PATH file BASE_DIRECTORY "${root}" OUTPUT_VARIABLE relative)
        list(APPEND below "${relative}")
      else()
        list(APPEND apart "${file}")
      endif()
    endforeach()
    execute_process(COMMAND python3 "${CMAKE_SOURCE_DIR}/cmake/unity.py" "${ORCH_GENERATED}/unity" ${name}
                            ${ORCH_UNITY_LINES} "${root}" ${below}
                    OUTPUT_VARIABLE files COMMAND_ERROR_IS_FATAL ANY)
    list(APPEND files ${apart})
  endif()
  set(${out} "${files}" PARENT_SCOPE)
endfunction()

# orch_link_names(OUT NAMES...): folder paths become their targets, orch::NAME stays.
function(orch_link_names out)
  set(links "")
  foreach(name ${ARGN})
    if(name MATCHES "::")
      list(APPEND links ${name})
    else()
      string(REPLACE "/" "_" flat "${name}")
      if(NOT TARGET orch_${flat})
        message(FATAL_ERROR "${name} is used before it is declared: targets may only link downwards")
      endif()
      list(APPEND links orch_${flat})
    endif()
  endforeach()
  set(${out} "${links}" PARENT_SCOPE)
endfunction()

# orch_test(NAME SOURCES FILES... DEPS TARGETS...): a Catch2 executable, known to CTest.
function(orch_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  orch_chunks(sources ${name} "${CMAKE_SOURCE_DIR}" ${ARG_SOURCES})
  add_executable(${name} ${sources})
  # Who builds a release wants the executable; tests are built when asked for (unit_tests, integration).
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} orch_test_main orch_warnings)
  target_include_directories(${name} PRIVATE "${CMAKE_SOURCE_DIR}")
  orch_finish_executable(${name})
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
endfunction()

# A static glibc program must not look names up through NSS, which would load shared libraries. Nothing
# of ours calls such a function (scripts/lint.sh sees to it), gRPC and libcurl use c-ares; what the
# linker warns about sits in branches of libraries that are never taken, and link.sh leaves it out.
function(orch_finish_executable name)
  if(ORCH_STATIC)
    target_link_options(${name} PRIVATE -static -s)
    set_target_properties(${name} PROPERTIES RULE_LAUNCH_LINK "${CMAKE_SOURCE_DIR}/cmake/link.sh")
  endif()
endfunction()

# orch_embed(TARGET FILE SYMBOL): makes the bytes of FILE (from the source folder) part of TARGET.
# Code that links TARGET writes #include "embed/SYMBOL.h" and calls orch::embedded::SYMBOL(), a
# std::string_view of the bytes. The assembler includes the file, so a big one costs no compile time.
function(orch_embed target file symbol)
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "INTERFACE_LIBRARY")
    return()
  endif()
  get_filename_component(file "${file}" ABSOLUTE BASE_DIR "${CMAKE_SOURCE_DIR}")
  file(CONFIGURE OUTPUT "${ORCH_GENERATED}/include/embed/${symbol}.h" @ONLY CONTENT
"#pragma once
#include <string_view>
namespace orch::embedded {
std::string_view @symbol@();
}
")
  set(source "${ORCH_GENERATED}/embed_${symbol}.cpp")
  file(CONFIGURE OUTPUT "${source}" @ONLY CONTENT
"#include \"embed/@symbol@.h\"
asm(\".pushsection .rodata\\n\"
    \".balign 16\\n\"
    \".hidden orch_embed_@symbol@_begin\\n\"
    \".global orch_embed_@symbol@_begin\\n\"
    \"orch_embed_@symbol@_begin:\\n\"
    \".incbin \\\"@file@\\\"\\n\"
    \".hidden orch_embed_@symbol@_end\\n\"
    \".global orch_embed_@symbol@_end\\n\"
    \"orch_embed_@symbol@_end:\\n\"
    \".byte 0\\n\"
    \".popsection\\n\");
extern \"C\" {
extern const char orch_embed_@symbol@_begin[] __attribute__((visibility(\"hidden\")));
extern const char orch_embed_@symbol@_end[] __attribute__((visibility(\"hidden\")));
}
namespace orch::embedded {
std::string_view @symbol@() {
  return {orch_embed_@symbol@_begin,
          static_cast<std::size_t>(orch_embed_@symbol@_end - orch_embed_@symbol@_begin)};
}
}
")
  target_sources(${target} PRIVATE "${source}")
  set_source_files_properties("${source}" PROPERTIES OBJECT_DEPENDS "${file}" SKIP_LINTING ON)
endfunction()

# orch_protos(TARGET FOLDER): C++ for third_party/FOLDER/*.proto, messages (on protobuf's lite runtime,
# whatever the files say) and gRPC stubs. Included as "FOLDER/NAME.pb.h" and "FOLDER/NAME.grpc.pb.h".
function(orch_protos target folder)
  file(GLOB protos CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/third_party/${folder}/*.proto")
  if(NOT protos)
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE orch::grpc orch::protobuf)
    return()
  endif()
  set(out "${ORCH_GENERATED}/proto")
  set(sources "")
  foreach(proto ${protos})
    get_filename_component(name "${proto}" NAME_WE)
    set(files "${out}/${folder}/${name}.pb.cc" "${out}/${folder}/${name}.pb.h"
              "${out}/${folder}/${name}.grpc.pb.cc" "${out}/${folder}/${name}.grpc.pb.h")
    add_custom_command(
      OUTPUT ${files}
      COMMAND "${CMAKE_COMMAND}" -E make_directory "${out}"
      COMMAND "${ORCH_PROTOC}" "--proto_path=${CMAKE_SOURCE_DIR}/third_party" "--cpp_out=lite:${out}"
              "--grpc_out=${out}" "--plugin=protoc-gen-grpc=${ORCH_GRPC_PLUGIN}" "${proto}"
      DEPENDS "${proto}"
      COMMENT "Generating C++ for ${folder}/${name}.proto"
      VERBATIM)
    list(APPEND sources ${files})
  endforeach()
  add_library(${target} STATIC ${sources})
  target_include_directories(${target} SYSTEM PUBLIC "${out}")
  target_compile_definitions(${target} PUBLIC GRPC_USE_PROTO_LITE)
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(${target} PRIVATE -Os)
  endif()
  target_link_libraries(${target} PUBLIC orch::grpc orch::protobuf)
endfunction()

# orch_check_folders(): a folder under src/ that nobody declared would silently not be built.
function(orch_check_folders)
  file(GLOB_RECURSE all CONFIGURE_DEPENDS RELATIVE "${CMAKE_SOURCE_DIR}/src" "${CMAKE_SOURCE_DIR}/src/*.cpp")
  foreach(file ${all})
    get_filename_component(folder "${file}" DIRECTORY)
    if(folder AND NOT folder IN_LIST ORCH_FOLDERS)
      message(FATAL_ERROR "src/${file}: folder src/${folder} has no orch_library() in CMakeLists.txt")
    endif()
  endforeach()
endfunction()
