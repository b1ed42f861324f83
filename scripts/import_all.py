"""Import every module of the package, as where only the required dependencies are installed."""

import importlib
import pkgutil

import echodepth


def main() -> None:
    """Import all modules, and fail with the names of those that cannot be."""
    names = [module.name for module in pkgutil.walk_packages(echodepth.__path__, "echodepth.")]
    failed = []
    for name in names:
        if name == "echodepth.__main__":  # runs the command line
            continue
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever it is, the next modules are tried too
            failed.append(f"{name}: {type(error).__name__}: {error}")
    if failed:
        raise SystemExit("\n".join(["these modules cannot be imported:", *failed]))
    print(f"{len(names)} modules imported")


if __name__ == "__main__":
    main()
