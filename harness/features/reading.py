"""A feature set from YAML: all that is wrong with it at once, each with line, column, and the nearest right word."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from harness.data.nodes import is_number, near
from harness.data.nodes import shown as shown_as
from harness.domain.features import (
    CYCLIC,
    FEATURES_VERSION,
    Bins,
    ColumnPlan,
    Derived,
    Encode,
    FeatureSet,
    Impute,
    Operator,
    Others,
    Part,
    Scale,
)
from harness.errors import InputError, Problem

TOP: Final = ("features", "name", "columns", "groups", "derived", "others")
COLUMN: Final = (
    "impute", "fill", "indicator", "clip", "log", "bins", "scale", "encode", "order", "max_categories", "min_share",
    "date", "cyclic", "reference", "format", "drop",
)  # fmt: skip
BINS: Final = ("count", "by", "encode")
DERIVED: Final = ("of", "scale")
CUTS: Final = ("quantile", "uniform", "kmeans")
NUMERIC: Final = ("clip", "log", "bins", "scale")
CATEGORICAL: Final = ("encode", "order", "max_categories", "min_share")
DATED: Final = ("date", "cyclic", "reference", "format")


def read_features(path: str) -> FeatureSet:
    """The feature set of a YAML file.

    Raises:
        InputError: with every problem of the file, each with its place and what is allowed.
    """
    try:
        document = YAML(typ="rt").load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the feature set cannot be read: {error}") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise InputError(str(Problem(path, line, column, f"not YAML: {error.problem}"))) from error
    except YAMLError as error:
        raise InputError(f"{path}: not YAML: {error}") from error
    if not isinstance(document, Mapping):
        raise InputError(str(Problem(path, 1, 1, "a feature set is a mapping with the keys `features` and `columns`")))
    return feature_set(document, path, Path(path).stem)


def feature_set(said: Mapping[str, Any], file: str = "", name: str = "features") -> FeatureSet:
    """The feature set of a mapping, as YAML or Python has it.

    Args:
        said: the keys of a file; ``features: 1`` is asked of files alone.
        file: for errors; empty where there is none.
        name: of the set, where it says none.

    Raises:
        InputError: with every problem.

    >>> feature_set({"columns": {"tenure": {"scale": "robust"}}}).columns[0].scale.value
    'robust'
    """
    reader = _Reader(file)
    made = reader.whole(said, name)
    if reader.problems:
        told = sorted(reader.problems, key=lambda problem: (problem.line, problem.column))
        raise InputError("\n".join(str(problem) if file else problem.message for problem in told))
    return made


@dataclass(slots=True)
class _Reader:
    """Turns a mapping into a set; gathers problems instead of stopping at the first."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def whole(self, said: Mapping[str, Any], name: str) -> FeatureSet:
        self.keys(said, TOP, "")
        if self.file and said.get("features") != FEATURES_VERSION:
            self.wrong(said, "features", f"must be the version that this program reads: {FEATURES_VERSION}")
        columns = {str(each): self.column(each, plan, self.of(said, "columns"), f"columns.{each}.")
                   for each, plan in self.of(said, "columns").items()}  # fmt: skip
        for place, group in enumerate(self.list_of(said, "groups", "")):
            columns |= self.group(group, place, columns)
        derived = self.of(said, "derived")
        made = tuple(self.derived(str(each), derived[each], derived) for each in derived)
        return FeatureSet(
            name=self.text(said, "name", "") or name,
            columns=tuple(columns.values()),
            derived=tuple(each for each in made if each),
            others=self.word(said, "others", Others, Others.USUAL, ""),
            file=self.file,
        )

    def group(self, group: Any, place: int, taken: Mapping[str, ColumnPlan]) -> dict[str, ColumnPlan]:
        """One treatment for several columns; none of them may have one of its own."""
        path = f"groups[{place}]."
        if not isinstance(group, Mapping):
            self.problems.append(Problem(self.file, 1, 1, f"{path[:-1]} must be a mapping with the key `columns`"))
            return {}
        names = [str(name) for name in self.list_of(group, "columns", path)]
        if not names:
            self.wrong(group, "columns", "must list at least one column", path)
        for name in names:
            if name in taken:
                self.wrong(group, "columns", f"lists {name}, of which something is said before", path)
        self.keys(group, ("columns", *COLUMN), path)
        common = self.said_of("", group, path)
        return {name: replace(common, name=name) for name in names}

    def column(self, name: Any, plan: Any, listed: Mapping[str, Any], path: str) -> ColumnPlan:
        if plan == "drop":
            return ColumnPlan(str(name), drop=True)
        if not isinstance(plan, Mapping):
            self.wrong(listed, name, "must be a mapping such as {impute: median, scale: standard}, or drop", "columns.")
            return ColumnPlan(str(name))
        self.keys(plan, COLUMN, path)
        return self.said_of(str(name), plan, path)

    def said_of(self, name: str, plan: Mapping[str, Any], path: str) -> ColumnPlan:
        impute = self.word(plan, "impute", Impute, None, path)
        if ("fill" in plan) != (impute is Impute.CONSTANT):
            self.wrong(
                plan,
                "fill" if "fill" in plan else "impute",
                "belongs with the other: impute: constant, fill: VALUE",
                path,
            )
        self.apart(plan, path)
        cyclic = self.words(plan, "cyclic", Part, path)
        for part in cyclic:
            if part not in CYCLIC:
                self.wrong(
                    plan, "cyclic", f"names {part}, which does not come round again ({', '.join(CYCLIC)} do)", path
                )
        encode = self.word(plan, "encode", Encode, None, path)
        if "order" in plan and encode is not Encode.ORDINAL:
            self.wrong(plan, "order", "belongs with encode: ordinal", path)
        return ColumnPlan(
            name=name,
            impute=impute,
            fill=plan.get("fill"),
            indicator=self.flag(plan, "indicator", path),
            clip=self.clip(plan, path),
            log=self.flag(plan, "log", path),
            bins=self.bins(plan, path),
            scale=self.word(plan, "scale", Scale, None, path),
            encode=encode,
            order=tuple(self.list_of(plan, "order", path)),
            max_categories=self.whole_number(plan, "max_categories", 2, path),
            min_share=self.share(plan, "min_share", path),
            date=self.words(plan, "date", Part, path),
            cyclic=cyclic,
            reference=self.reference(plan, path),
            format=self.form(plan, path),
            drop=self.flag(plan, "drop", path),
        )

    def apart(self, plan: Mapping[str, Any], path: str) -> None:
        """What belongs to numbers does not stand with what belongs to categories, nor with dates."""
        dated = next((key for key in ("date", "cyclic") if key in plan), None)
        if dated is None:
            for key in ("reference", "format"):
                if key in plan:
                    self.wrong(plan, key, "belongs with date or cyclic", path)
        kinds = [[key for key in keys if key in plan] for keys in (NUMERIC, CATEGORICAL, DATED)]
        if dated and kinds[0] == ["scale"]:
            kinds[0] = []  # parts of dates are scaled
        kinds = [each for each in kinds if each]
        for others in kinds[1:]:
            self.wrong(
                plan, others[0], f"does not stand with {kinds[0][0]}: a column holds numbers, categories or dates", path
            )
        if "bins" in plan and "scale" in plan:
            self.wrong(plan, "scale", "does not stand with bins", path)

    def derived(self, name: str, said: Any, listed: Mapping[str, Any]) -> Derived | None:
        path = f"derived.{name}."
        text = said if isinstance(said, str) else said.get("of") if isinstance(said, Mapping) else None
        parts = _expression(text) if isinstance(text, str) else None
        if parts is None:
            told = "must be two columns and one of / * + - between them, with blanks around it: TotalCharges / tenure"
            self.wrong(listed, name, told, "derived.")
            return None
        scale = Scale.STANDARD
        if isinstance(said, Mapping):
            self.keys(said, DERIVED, path)
            scale = self.word(said, "scale", Scale, Scale.STANDARD, path)
        return Derived(name, parts[0], Operator(parts[1]), parts[2], scale)

    # --- single values ---

    def bins(self, plan: Mapping[str, Any], path: str) -> Bins | None:
        said = plan.get("bins")
        if said is None:
            return None
        if not isinstance(said, Mapping):
            count = self.whole_number(plan, "bins", 2, path)
            return Bins(count) if count else None
        below = f"{path}bins."
        self.keys(said, BINS, below)
        count = self.whole_number(said, "count", 2, below)
        if "count" not in said:
            self.wrong(plan, "bins", "lacks count, how many there are", path)
        by = self.one_of(said, "by", CUTS, CUTS[0], below)
        encode = self.one_of(said, "encode", (Encode.ORDINAL.value, Encode.ONE_HOT.value), Encode.ORDINAL.value, below)
        return Bins(count or 2, by, encode == Encode.ONE_HOT)

    def clip(self, plan: Mapping[str, Any], path: str) -> tuple[float, float] | None:
        if "clip" not in plan:
            return None
        said = plan["clip"]
        numbers = list(said) if isinstance(said, Sequence) and not isinstance(said, str) else []
        if len(numbers) != 2 or not all(map(is_number, numbers)) or numbers[0] >= numbers[1]:
            self.wrong(plan, "clip", "must be the least and the greatest value: [0, 100]", path)
            return None
        return float(numbers[0]), float(numbers[1])

    def reference(self, plan: Mapping[str, Any], path: str) -> str:
        from harness.data.unix_time import unix_seconds

        said = str(plan.get("reference", "1970-01-01"))
        try:
            unix_seconds([said])
        except InputError:
            self.wrong(plan, "reference", "must be a date such as 2020-01-01", path)
        return said

    def form(self, plan: Mapping[str, Any], path: str) -> str | None:
        from harness.data.unix_time import unix_seconds

        said = self.text(plan, "format", path) or None
        try:
            unix_seconds([None], said)
        except InputError as error:
            self.wrong(plan, "format", f"must be a form as strftime has it, such as %d/%m/%Y: {error.__cause__}", path)
        return said

    def flag(self, plan: Mapping[str, Any], key: str, path: str) -> bool:
        if not isinstance(plan.get(key, False), bool):
            self.wrong(plan, key, "must be true or false", path)
        return plan.get(key) is True

    def text(self, plan: Mapping[str, Any], key: str, path: str) -> str:
        if not isinstance(plan.get(key, ""), str):
            self.wrong(plan, key, "must be a text", path)
            return ""
        return str(plan.get(key, ""))

    def whole_number(self, plan: Mapping[str, Any], key: str, least: int, path: str) -> int | None:
        value = plan.get(key)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self.wrong(plan, key, f"must be a whole number from {least} on", path)
            return None
        return int(value)

    def share(self, plan: Mapping[str, Any], key: str, path: str) -> float | None:
        value = plan.get(key)
        if isinstance(value, str) and value.strip().endswith("%"):
            try:
                value = float(value.strip()[:-1]) / 100
            except ValueError:
                value = "none"
        if value is None:
            return None
        if not is_number(value) or not 0 < value < 1:
            self.wrong(plan, key, "must be a share between 0% and 100%", path)
            return None
        return float(value)

    def word(self, said: Mapping[str, Any], key: str, words: type[StrEnum], default: Any, path: str) -> Any:
        found = self.one_of(said, key, [word.value for word in words], "", path)
        return words(found) if found else default

    def words(self, said: Mapping[str, Any], key: str, words: type[StrEnum], path: str) -> tuple[Any, ...]:
        listed = self.list_of(said, key, path)
        known = [word.value for word in words]
        for each in listed:
            if each not in known:
                self.wrong(
                    said, key, f"names {each}, which is not one of {', '.join(known)}{near(str(each), known)}", path
                )
        return tuple(words(each) for each in listed if each in known)

    def one_of(self, said: Mapping[str, Any], key: str, words: Sequence[str], default: str, path: str) -> str:
        value = said.get(key)
        if key not in said or value in words:
            return str(value) if key in said else default
        self.wrong(said, key, f"is not one of {', '.join(words)}{near(str(value), words)}", path)
        return default

    def of(self, said: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        found = said.get(key, {})
        if not isinstance(found, Mapping):
            self.wrong(said, key, "must be a mapping by name")
            return {}
        return found

    def list_of(self, said: Mapping[str, Any], key: str, path: str) -> list[Any]:
        found = said.get(key, [])
        if isinstance(found, str | Mapping) or not isinstance(found, Sequence):
            self.wrong(said, key, "must be a list", path)
            return []
        return list(found)

    def keys(self, said: Mapping[str, Any], known: Sequence[str], path: str) -> None:
        for key in said:
            if key not in known:
                line, column = _key_place(said, key)
                hint = near(str(key), known)
                message = f"{path}{key} is not known here{hint} (known: {', '.join(known)})"
                self.problems.append(Problem(self.file, line, column, message))

    def wrong(self, said: Mapping[str, Any], key: Any, message: str, path: str = "") -> None:
        value = said.get(key)
        line, column = (
            _key_place(said, key) if isinstance(value, Mapping) or key not in said else _value_place(said, key)
        )
        shown = "" if isinstance(value, Mapping) or key not in said else f" ({shown_as(value)})"
        self.problems.append(Problem(self.file, line, column, f"{path}{key}{shown} {message}"))


def _expression(text: str) -> tuple[str, str, str] | None:
    """Two columns and what is between them.

    >>> _expression("TotalCharges / tenure"), _expression("capital-gain - capital-loss"), _expression("a / b / c")
    (('TotalCharges', '/', 'tenure'), ('capital-gain', '-', 'capital-loss'), None)
    """
    found = [operator for operator in Operator for _ in range(text.count(f" {operator.value} "))]
    if len(found) != 1:
        return None
    left, right = (each.strip() for each in text.split(f" {found[0].value} "))
    return (left, found[0].value, right) if left and right else None


def _key_place(said: Any, key: Any) -> tuple[int, int]:
    marks = getattr(said, "lc", None)
    if marks is None:
        return 1, 1
    line, column = marks.key(key) if key in said else (marks.line, marks.col)
    return line + 1, column + 1


def _value_place(said: Any, key: Any) -> tuple[int, int]:
    marks = getattr(said, "lc", None)
    line, column = marks.value(key) if marks is not None else (0, 0)
    return line + 1, column + 1
