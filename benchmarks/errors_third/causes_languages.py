"""Programs in Ruby, PHP, Lua, Tcl, gawk, gnuplot, CMake and GDB that fail while they run."""

import shutil
from collections.abc import Callable

from draws import WORK, Draw, causes, command, runs, script


def ran(
    program: str, ending: str, template: str, *before: str, **environment: str
) -> Callable[[Draw], None]:
    return lambda draw: command(program, *before, script(draw, ending, template), **environment)


def ruby(template: str) -> Callable[[Draw], None]:
    return ran("ruby3.1", "rb", template, "--disable-gems")


def php(template: str) -> Callable[[Draw], None]:
    return ran("php8.2", "php", template, "-n", "-d", "display_errors=stderr")


def cmake(template: str) -> Callable[[Draw], None]:
    def provoke(draw: Draw) -> None:
        home = WORK / draw.name()
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        made = script(
            draw,
            "cmake",
            f"cmake_minimum_required(VERSION 3.10)\nproject(<ident> NONE)\n{template}\n",
        )
        shutil.move(made, home / "CMakeLists.txt")
        draw.note(str(home))
        command("cmake", "-S", str(home), "-B", str(home / "build"))

    return provoke


RUBY = [
    *causes(None, ruby_name=ruby("puts <ident>_v"), ruby_method=ruby("<number>.<ident>"), ruby_constant=ruby("puts <klass>.new"), ruby_key=ruby('{a: 1}.fetch("<name>")'),
            ruby_integer=ruby('Integer("<name>")'), ruby_syntax=ruby("def <ident>(\n  <word> = [<number>\nend")),
    *causes("environment", ruby_load=ruby('require "<name>"')),
    *causes("not_found", ruby_file=ruby('File.read("<path>")'), ruby_script=runs("ruby3.1 --disable-gems {path}")),
]  # fmt: skip

PHP = [
    *causes(None, php_function=php("<ident>_f(<number>);"), php_class=php("new <klass>();"), php_constant=php("echo <ident>_C;"), php_method=php("DateTime::<ident>(<number>);"),
            php_syntax=php("$<ident> = [<number>, ;\n"), php_script=runs("php8.2 -n {path}")),
    *causes("not_found", php_required=php("require '<path>';")),
    *causes("bad_input", php_date=php("new DateTime('<name>');")),
]  # fmt: skip

OTHERS = [
    *causes(None, lua_call=ran("lua5.4", "lua", "<ident>_f(<number>)"), lua_index=ran("lua5.4", "lua", "local <ident>\nprint(<ident>_v.<word>)"), lua_arithmetic=ran("lua5.4", "lua", "print(<ident>_v + <number>)"),
            lua_syntax=ran("lua5.4", "lua", "print(<number> <ident>_x)"),
            lua_then=ran("lua5.4", "lua", "if <number> do <ident>() end"),
            tcl_command=ran("tclsh8.6", "tcl", "<ident>_c <number>"), tcl_variable=ran("tclsh8.6", "tcl", "puts $<ident>"), tcl_integer=ran("tclsh8.6", "tcl", "lindex {a b} [string range <name> 0 end]x"),
            tcl_key=ran("tclsh8.6", "tcl", "dict get {a 1} <name>"),
            gawk_function=ran("gawk", "awk", "BEGIN { <ident>_f(<number>) }", "-f"), gawk_syntax=ran("gawk", "awk", "BEGIN { print <number> <ident>_x( }", "-f"),
            gnuplot_variable=ran("gnuplot-nox", "plt", "print <ident>_v"), gnuplot_function=ran("gnuplot-nox", "plt", "print <ident>_f(<number>)"), gnuplot_script=runs("gnuplot-nox {path}"), gnuplot_option=ran("gnuplot-nox", "plt", "set <word>q <number>"),
            cmake_command=cmake("<ident>_c(<word>)"), cmake_list=cmake("list(<word> a <number>)"),
            gdb_command=runs("gdb -nx -batch -ex {ident}_c"), sqlite_command=lambda d: command("sqlite3", "-bail", given=f".{d.ident()}_c {d.number()}\n")),
    *causes("not_found", lua_script=runs("lua5.4 {path}"), tcl_script=runs("tclsh8.6 {path}"), tcl_open=ran("tclsh8.6", "tcl", "open {<path>}"), gawk_input=lambda d: command("gawk", "{ getline; print }", d.path()),
            gawk_program=runs("gawk -f {path}"), cmake_source=runs("cmake {path}"), cmake_include=cmake("include(<path>)"), cmake_subdirectory=cmake("add_subdirectory(<name>)"), cmake_input=cmake("file(READ <path> x)")),
    *causes("environment", lua_module=ran("lua5.4", "lua", 'require("x-<name>")'), tcl_package=ran("tclsh8.6", "tcl", "package require <name>")),
    *causes(("not_found", "environment"), cmake_package=cmake("find_package(<klass> REQUIRED)")),
    *causes("bad_input", cmake_generator=runs("cmake -G {klass} ."), gdb_option=runs("gdb -batch --{word}-{word}"), lua_option=runs("lua5.4 --{word}-{number}"), ruby_option=runs("ruby3.1 --{word}-{number}")),
]  # fmt: skip

CAUSES = [*RUBY, *PHP, *OTHERS]
