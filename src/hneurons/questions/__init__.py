"""What a model is asked: question sets, prompts, splits."""

from hneurons.questions.loading import load_questions, sample_questions
from hneurons.questions.prompts import TRIVIA_QA_SUFFIX, PromptFormat
from hneurons.questions.question import Question, QuestionSet
from hneurons.questions.splits import assert_disjoint, split_by_group

__all__ = [
    "TRIVIA_QA_SUFFIX",
    "PromptFormat",
    "Question",
    "QuestionSet",
    "assert_disjoint",
    "load_questions",
    "sample_questions",
    "split_by_group",
]
