"""How a student learns from a teacher: losses, the teacher's answers, the student's training."""
